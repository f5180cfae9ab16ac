//! torchmap-bench-peers LOADER: one Rust reader as a contestant of the benchmark; bench/README.md describes the lines.

mod loaders;

use std::io::{BufRead, Write};
use std::time::Instant;

use loaders::{Clock, Loaded, Result};

fn milliseconds(
    load: fn(Clock, &str) -> Result<Loaded>,
    clock: Clock,
    path: &str,
) -> Result<String> {
    let start = Instant::now();
    let loaded = load(clock, path)?;
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    let sum = match clock {
        Clock::Bytes => format!(",\"sum\":\"{:016x}\"", loaded.sum),
        _ => String::new(),
    };
    let line = format!("{{\"ms\":{elapsed},\"tensors\":{}{sum}}}", loaded.tensors);
    drop(loaded); // what was loaded is freed after the clock
    Ok(line)
}

fn answer(load: fn(Clock, &str) -> Result<Loaded>, line: &str) -> String {
    let (clock, path) = line.split_once('\t').unwrap_or((line, ""));
    let result = match clock {
        "names" => milliseconds(load, Clock::Names, path),
        "bytes" => milliseconds(load, Clock::Bytes, path),
        "verified" => milliseconds(load, Clock::Verified, path),
        _ => Err(format!("no clock {clock}").into()),
    };
    result.unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
}

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some((load, version)) = loaders::find(&name) else {
        eprintln!("no loader {name:?}");
        std::process::exit(2);
    };
    let mut out = std::io::stdout();
    writeln!(out, "{{\"version\":{version:?}}}").expect("stdout");
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        writeln!(out, "{}", answer(load, &line)).expect("stdout");
        out.flush().expect("stdout");
    }
}
