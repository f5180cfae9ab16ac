// memory_bench JOB: a contestant of bench/run.mjs. For each line "<what> TAB <path or bytes>" it
// does the job once and answers with a line of JSON; bench/README.md describes the lines.
#include <cstdio>
#include <iostream>

#include "bench/memory_jobs.h"

int main(int argc, char** argv) {
  const torchmap::bench::Job job = torchmap::bench::find_job(argc > 1 ? argv[1] : "");
  if (!job) {
    std::fprintf(stderr, "memory_bench: no such job\n");
    return 2;
  }
  std::printf("{\"version\":\"native\"}\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const size_t tab = line.find('\t');
    const std::string subject = tab == std::string::npos ? "" : line.substr(tab + 1);
    const torchmap::bench::Run run = job(line.substr(0, tab), subject);
    std::printf("{\"ms\":%.6f,\"tensors\":%llu,\"sum\":\"%016llx\"}\n", run.ms,
                static_cast<unsigned long long>(run.count),
                static_cast<unsigned long long>(run.sum));
    std::fflush(stdout);
  }
  return 0;
}
