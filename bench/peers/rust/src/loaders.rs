//! Names and shapes, and every byte, through each crate's public API.

use std::any::Any;
use std::fs::File;
use std::hint::black_box;

use candle_core::pickle::{read_pth_tensor_info, PthTensors};
use candle_core::{CpuStorage, Storage, Tensor, WithDType};
use memmap2::Mmap;
use pytorch_reader::PytorchReader;
use safetensors::SafeTensors;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Clone, Copy, PartialEq)]
pub enum Clock {
    Names,
    Bytes,
    Verified,
}

/// What came out of a run; `_held` is freed outside the clock.
pub struct Loaded {
    pub tensors: usize,
    pub sum: u64,
    pub _held: Box<dyn Any>,
}

type Load = fn(Clock, &str) -> Result<Loaded>;

pub fn find(name: &str) -> Option<(Load, &'static str)> {
    const LOADERS: [(&str, Load, &str); 4] = [
        ("candle", candle, "candle-core 0.11.1"),
        ("pytorch-reader", reader, "pytorch-reader 0.23.0-pre.1"),
        (
            "pytorch-reader-threads",
            reader_on_threads,
            "pytorch-reader 0.23.0-pre.1",
        ),
        ("safetensors-rust", safetensors, "safetensors 0.8.0 (Rust)"),
    ];
    LOADERS
        .iter()
        .find(|(own, ..)| *own == name)
        .map(|(_, load, version)| (*load, *version))
}

/// The sum of the bytes as little-endian 64-bit words, the last one filled up with zeros.
fn touch(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let mut sum = 0u64;
    for word in &mut words {
        sum = sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes")));
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    sum.wrapping_add(u64::from_le_bytes(last))
}

fn candle(clock: Clock, path: &str) -> Result<Loaded> {
    // It looks for tensors at one level only: the caller has to say where, behind '#'.
    let (path, key) = path
        .split_once('#')
        .map_or((path, None), |(path, key)| (path, Some(key)));
    match clock {
        Clock::Names => {
            let infos = read_pth_tensor_info(path, false, key)?;
            for info in &infos {
                black_box((&info.name, info.dtype, info.layout.shape().dims()));
            }
            Ok(Loaded {
                tensors: infos.len(),
                sum: 0,
                _held: Box::new(infos),
            })
        }
        Clock::Bytes => {
            let file = PthTensors::new(path, key)?;
            let (mut tensors, mut sum) = (Vec::new(), 0u64);
            for name in file.tensor_infos().keys() {
                let tensor = file.get(name)?.ok_or("a tensor is missing")?;
                sum = sum.wrapping_add(touch_candle(&tensor)?);
                tensors.push(tensor);
            }
            Ok(Loaded {
                tensors: tensors.len(),
                sum,
                _held: Box::new((file, tensors)),
            })
        }
        Clock::Verified => Err("candle compares no checksums".into()),
    }
}

fn touch_candle(tensor: &Tensor) -> Result<u64> {
    fn words<T: WithDType>(storage: &CpuStorage) -> Result<u64> {
        let elements = storage.as_slice::<T>()?;
        let length = std::mem::size_of_val(elements);
        // SAFETY: plain numbers, read as the bytes they are.
        Ok(touch(unsafe {
            std::slice::from_raw_parts(elements.as_ptr().cast(), length)
        }))
    }
    let (storage, _) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err("not on the processor".into());
    };
    match storage {
        CpuStorage::F32(_) => words::<f32>(storage),
        CpuStorage::I64(_) => words::<i64>(storage),
        _ => Err("a dtype that no input has".into()),
    }
}

fn reader(clock: Clock, path: &str) -> Result<Loaded> {
    let file = PytorchReader::new(path)?;
    let mut sum = 0u64;
    let mut held = Vec::new();
    for (name, tensor) in file.tensors() {
        if clock == Clock::Names {
            black_box((name, tensor.dtype(), tensor.shape()));
            continue;
        }
        let bytes = tensor.read()?; // compares the checksum
        if clock == Clock::Bytes {
            sum = sum.wrapping_add(touch(&bytes));
            held.push(bytes); // else nothing is kept, as nobody else keeps what is verified
        }
    }
    Ok(Loaded {
        tensors: file.len(),
        sum,
        _held: Box::new((file, held)),
    })
}

fn reader_on_threads(clock: Clock, path: &str) -> Result<Loaded> {
    if clock == Clock::Names {
        return reader(clock, path);
    }
    let file = PytorchReader::new(path)?;
    let tensors: Vec<_> = file.tensors().values().collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || -> std::io::Result<(u64, Vec<Vec<u8>>)> {
        let (mut sum, mut held) = (0u64, Vec::new());
        while let Some(tensor) =
            tensors.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            let bytes = tensor.read()?;
            if clock == Clock::Bytes {
                sum = sum.wrapping_add(touch(&bytes));
                held.push(bytes);
            }
        }
        Ok((sum, held))
    };
    let threads = std::thread::available_parallelism()?.get();
    let (mut sum, mut held) = (0u64, Vec::new());
    std::thread::scope(|scope| -> std::io::Result<()> {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            let (part, bytes) = thread.join().expect("no panic")?;
            sum = sum.wrapping_add(part);
            held.push(bytes);
        }
        Ok(())
    })?;
    let count = tensors.len();
    Ok(Loaded {
        tensors: count,
        sum,
        _held: Box::new((file, held)),
    })
}

fn safetensors(clock: Clock, path: &str) -> Result<Loaded> {
    let file = File::open(path)?;
    // SAFETY: nobody writes to the files of the benchmark while it runs.
    let map = unsafe { Mmap::map(&file)? };
    let (mut count, mut sum) = (0, 0u64);
    {
        let tensors = SafeTensors::deserialize(&map)?;
        for (name, view) in tensors.iter() {
            match clock {
                Clock::Names => {
                    black_box((name, view.dtype(), view.shape()));
                }
                Clock::Bytes => sum = sum.wrapping_add(touch(view.data())),
                Clock::Verified => return Err("safetensors has no checksums".into()),
            }
            count += 1;
        }
    }
    Ok(Loaded {
        tensors: count,
        sum,
        _held: Box::new(map),
    })
}
