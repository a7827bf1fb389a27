// hit_rate: the share of hits that S3-FIFO, LRU and CLOCK reach on generated loads. Prints a table;
// with --json, the same as JSON. It depends on nothing but its seed.
//
// Every load is a sequence of pages over a footprint of --pages. The cache starts empty and every
// request counts, so first uses are misses for every policy.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "cache/clock_policy.h"
#include "cache/lru.h"
#include "cache/s3fifo.h"

namespace {

using quire::cache::Eviction;
using Page = std::uint32_t;
using Random = std::mt19937_64;

// A finaliser of splitmix64's kind: mixes every bit into every other.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// From 0 to 1, the same on every machine (std::uniform_real_distribution need not be).
double unit(Random& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

// Ranks with probability proportional to 1 / (rank + 1)^skew.
class Zipf {
 public:
  Zipf(std::size_t ranks, double skew) : cumulative_(ranks) {
    double sum = 0;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      sum += 1 / std::pow(static_cast<double>(rank + 1), skew);
      cumulative_[rank] = sum;
    }
  }
  Page operator()(Random& random) const {
    const double at = unit(random) * cumulative_.back();
    const auto found = std::lower_bound(cumulative_.begin(), cumulative_.end(), at);
    return static_cast<Page>(std::min<std::ptrdiff_t>(
        found - cumulative_.begin(), static_cast<std::ptrdiff_t>(cumulative_.size()) - 1));
  }

 private:
  std::vector<double> cumulative_;
};

struct Setup {
  std::uint32_t pages = 100'000;  // the footprint
  std::uint32_t requests = 2'000'000;
  std::uint64_t seed = 1;
};

// The first half of the footprint is used with skew, in the second half lies what is walked
// through.
struct Load {
  std::string name;
  std::function<std::vector<Page>(const Setup&, std::uint32_t frames)> make;
};

std::vector<Page> zipf(const Setup& setup, double skew) {
  Random random(setup.seed);
  const Zipf rank(setup.pages, skew);
  std::vector<Page> sequence(setup.requests);
  for (Page& page : sequence) page = rank(random);
  return sequence;
}

std::vector<Page> loop(const Setup& setup, std::uint32_t length) {
  std::vector<Page> sequence(setup.requests);
  for (std::uint32_t i = 0; i < setup.requests; ++i) sequence[i] = i % length;
  return sequence;
}

// Zipf(1.0) over half of the footprint; now and then a scan of the other half from end to end. A
// quarter of the requests is scan.
std::vector<Page> zipf_and_scan(const Setup& setup) {
  Random random(setup.seed);
  const std::uint32_t hot = setup.pages / 2;
  const std::uint32_t scan = setup.pages - hot;
  const Zipf rank(hot, 1.0);
  std::vector<Page> sequence;
  sequence.reserve(setup.requests);
  while (sequence.size() < setup.requests) {
    for (std::uint32_t i = 0; i < 3 * scan; ++i) sequence.push_back(rank(random));
    for (std::uint32_t i = 0; i < scan; ++i) sequence.push_back(hot + i);
  }
  sequence.resize(setup.requests);
  return sequence;
}

// Zipf(1.0) over half of the footprint, and in turn with it, request by request, a loop over a
// range of 1.2 times the cache in the other half.
std::vector<Page> zipf_and_loop(const Setup& setup, std::uint32_t frames) {
  Random random(setup.seed);
  const std::uint32_t hot = setup.pages / 2;
  const std::uint32_t length = frames + frames / 5;
  const Zipf rank(hot, 1.0);
  std::vector<Page> sequence(setup.requests);
  for (std::uint32_t i = 0; i < setup.requests; ++i) {
    sequence[i] = i % 2 == 0 ? rank(random) : hot + i / 2 % length;
  }
  return sequence;
}

template <class Policy>
double hit_rate(const std::vector<Page>& sequence, std::uint32_t frames) {
  constexpr std::uint32_t kAbsent = std::numeric_limits<std::uint32_t>::max();
  Policy policy(frames);
  const Page page_end = *std::max_element(sequence.begin(), sequence.end()) + 1;
  std::vector<std::uint32_t> frame_of(page_end, kAbsent);
  std::vector<Page> page_in(frames);
  std::vector<std::uint32_t> free;
  for (std::uint32_t frame = frames; frame > 0;) free.push_back(--frame);

  std::uint64_t hits = 0;
  for (const Page page : sequence) {
    if (frame_of[page] != kAbsent) {
      policy.touch(frame_of[page]);
      ++hits;
      continue;
    }
    if (free.empty()) {
      policy.evict(1, std::numeric_limits<std::size_t>::max(), [&](std::uint32_t victim) {
        frame_of[page_in[victim]] = kAbsent;
        free.push_back(victim);
        return Eviction::kEvicted;
      });
    }
    const std::uint32_t frame = free.back();
    free.pop_back();
    policy.insert(frame, mix(page));
    frame_of[page] = frame;
    page_in[frame] = page;
  }
  return static_cast<double>(hits) / static_cast<double>(sequence.size());
}

}  // namespace

int main(int argc, char** argv) {
  Setup setup;
  bool json = false;
  CLI::App app("Hit rates of replacement policies on generated loads.");
  app.add_option("--pages", setup.pages, "footprint, in pages")
      ->capture_default_str()
      ->check(CLI::Range(100u, 1u << 28));
  app.add_option("--requests", setup.requests, "length of each load")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1u << 30));
  app.add_option("--seed", setup.seed, "of the generated loads")->capture_default_str();
  app.add_flag("--json", json, "JSON instead of a table");
  CLI11_PARSE(app, argc, argv);

  const std::vector<Load> loads = {
      {"zipf 0.8", [](const Setup& s, std::uint32_t) { return zipf(s, 0.8); }},
      {"zipf 1.0", [](const Setup& s, std::uint32_t) { return zipf(s, 1.0); }},
      {"zipf 1.0 + scan", [](const Setup& s, std::uint32_t) { return zipf_and_scan(s); }},
      {"loop 1.2 x cache",
       [](const Setup& s, std::uint32_t frames) { return loop(s, frames + frames / 5); }},
      {"zipf 1.0 + loop 1.2 x cache", zipf_and_loop},
  };

  nlohmann::json rows = nlohmann::json::array();
  if (!json) {
    std::cout << fmt::format(
        "footprint {} pages, {} requests, seed {}\n{:<28} {:>6} {:>8} {:>8} {:>8}\n", setup.pages,
        setup.requests, setup.seed, "load", "cache", "s3fifo", "lru", "clock");
  }
  for (const Load& load : loads) {
    for (const std::uint32_t percent : {10u, 25u}) {
      const auto frames = static_cast<std::uint32_t>(std::uint64_t{setup.pages} * percent / 100);
      const std::vector<Page> sequence = load.make(setup, frames);
      const double s3fifo = hit_rate<quire::cache::S3Fifo>(sequence, frames);
      const double lru = hit_rate<quire::cache::Lru>(sequence, frames);
      const double clock = hit_rate<quire::cache::ClockPolicy>(sequence, frames);
      if (json) {
        rows.push_back({{"load", load.name},
                        {"cache_percent", percent},
                        {"s3fifo", s3fifo},
                        {"lru", lru},
                        {"clock", clock}});
      } else {
        std::cout << fmt::format("{:<28} {:>5}% {:>8.4f} {:>8.4f} {:>8.4f}\n", load.name, percent,
                                 s3fifo, lru, clock);
      }
    }
  }
  if (json) {
    const nlohmann::json document = {{"pages", setup.pages},
                                     {"requests", setup.requests},
                                     {"seed", setup.seed},
                                     {"hit_rates", rows}};
    std::cout << document.dump(2) << '\n';
  }
  return 0;
}
