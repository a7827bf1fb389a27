#include "host_bench/program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>

#include "host_bench/chart.h"
#include "host_bench/machine.h"

namespace quire::bench {
namespace {

constexpr unsigned kRoundsQuick = 3;

struct Options {
  std::string directory = "/var/tmp";
  std::string json;
  std::string chart;
  std::string only;
  bool quick = false;
};

// A directory of our own below `parent`, gone afterwards.
class Scratch {
 public:
  explicit Scratch(const std::string& parent) : path_(parent + "/quire-bench.XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
      throw std::runtime_error(
          fmt::format("cannot make a directory in {}: {}", parent, std::strerror(errno)));
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { clear(true); }
  void clear(bool itself = false) const {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    if (!itself) {
      std::filesystem::create_directory(path_, ignored);
    }
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

RowResult measure_one(const RowMaker& maker, const Context& context, unsigned rounds) {
  RowResult result;
  try {
    Row row = maker.make(context);
    row.name = maker.name;
    result = measure(row, context.quick ? kRoundsQuick : rounds);
  } catch (const NotMeasured& reason) {
    result.name = maker.name;
    result.not_measured = reason.what();
  }
  return result;
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) fmt::print(stderr, "cannot write {}\n", path);
  return file.good();
}

int run(const Program& program, const Options& options) {
  const std::regex only(options.only);
  std::vector<RowMaker> makers;
  for (const RowMaker& maker : program.rows) {
    if (std::regex_search(maker.name, only)) {
      makers.push_back(maker);
    }
  }
  if (makers.empty()) {
    fmt::print(stderr, "no row matches {}\n", options.only);
    return 2;
  }
  const Scratch scratch(options.directory);
  const nlohmann::json machine = describe_machine(options.directory);
  for (const auto& [key, value] : machine.items()) {
    fmt::print("{:<28}{}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
#ifndef NDEBUG
  fmt::print("assertions are on: the numbers say little\n");
#endif
  if (options.quick) {
    fmt::print("--quick: the numbers say little\n");
  }
  fmt::print("\n");

  const Context context{scratch.path(), options.quick,
                        std::filesystem::read_symlink("/proc/self/exe").string()};
  std::vector<RowResult> results;
  nlohmann::json json{{"machine", machine}, {"quick", options.quick}};
  for (const RowMaker& maker : makers) {
    results.push_back(measure_one(maker, context, program.rounds));
    print(results.back());
    json["rows"].push_back(to_json(results.back()));
    scratch.clear();
  }
  print_summary(results);
  const bool written = (options.json.empty() || write_file(options.json, json.dump(2) + "\n")) &&
                       (options.chart.empty() || write_file(options.chart, draw_chart(results)));
  return written ? 0 : 1;
}

}  // namespace

int run_program(const Program& program, int argc, char** argv) {
  Options options;
  CLI::App app(program.about, program.name);
  app.add_option("--dir", options.directory,
                 "Make the scratch directory here, on the disk to measure")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  app.add_option("--only", options.only, "Rows whose name matches this regular expression");
  app.add_option("--json", options.json, "Write the results here as well");
  if (program.draws_chart) {
    app.add_option("--chart", options.chart, "Draw the results here, as SVG");
  }
  app.add_flag("--quick", options.quick, "Small and short, to see that everything runs");
  try {
    app.parse(argc, argv);
    return run(program, options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::regex_error& error) {
    fmt::print(stderr, "--only: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", program.name, error.what());
    return 1;
  }
}

}  // namespace quire::bench
