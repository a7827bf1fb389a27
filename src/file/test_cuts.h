// What tests of cuts share: the four cuts by one call, what each makes of bytes, a store that fails midway, and
// the strategies that every test of them runs under.
#ifndef QUIRE_FILE_TEST_CUTS_H_
#define QUIRE_FILE_TEST_CUTS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "file/reshape.h"
#include "file/test_cache.h"
#include "file/test_engine.h"

namespace quire::file {

using Bytes = std::vector<std::byte>;

inline const std::error_code kInvalid = std::make_error_code(std::errc::invalid_argument);

inline StoreVerdict failing_midway(std::errc code) {
  StoreVerdict v = failing(code);
  v.change_then_fail = true;
  return v;
}

inline std::error_code cut(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset,
                           std::uint64_t length, const sync::WaitLimit& limit = {}) {
  if (kind == Cut::kPunch || kind == Cut::kZero) {
    return clear(inode, kind, offset, offset + length, true, limit);
  }
  return shift(inode, kind, offset, length, limit);
}

// What a cut makes of bytes.
inline Bytes cut_model(Bytes bytes, Cut kind, std::size_t offset, std::size_t length) {
  const std::size_t begin = std::min(offset, bytes.size());
  const std::size_t end = std::min(offset + length, bytes.size());
  const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
  switch (kind) {
    case Cut::kPunch:
    case Cut::kZero:
      std::fill(at, bytes.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
      break;
    case Cut::kInsert:
      bytes.insert(at, length, std::byte{0});
      break;
    case Cut::kCollapse:
      bytes.erase(at, bytes.begin() + static_cast<std::ptrdiff_t>(end));
      break;
  }
  return bytes;
}

inline std::string strategy_name(const testing::TestParamInfo<Locking>& tested) {
  return cache::name(tested.param);
}
inline const auto kStrategies =
    testing::Values(Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode);

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_CUTS_H_
