// A main for compilers without libFuzzer: runs the target once on each file given, and with `-n N`
// also on N mutations of it, the same ones every time.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string mutated(std::string bytes, std::mt19937_64& random) {
  for (uint64_t changes = 1 + random() % 4; changes > 0 && !bytes.empty(); --changes) {
    const size_t at = random() % bytes.size();
    switch (random() % 4) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] ^= static_cast<char>(1 << random() % 8);
        break;
      case 2:
        bytes.erase(at, 1 + random() % 8);
        break;
      default:
        bytes.insert(at, bytes.substr(random() % bytes.size(), 1 + random() % 16));
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  unsigned long mutations = 0;
  std::mt19937_64 random(1);
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
      mutations = std::strtoul(argv[++i], nullptr, 10);
      continue;
    }
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    run(bytes);
    for (unsigned long n = 0; n < mutations; ++n) {
      const std::string changed = mutated(bytes, random);
      // Kept until the run is over, so that a crash leaves its input behind.
      std::ofstream("crash-input", std::ios::binary) << changed;
      run(changed);
    }
  }
  std::filesystem::remove("crash-input");
  return 0;
}
