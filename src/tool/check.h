// A Check: one thing that Quire can use, whether it is there, and if not, what happens instead.
//
// Thread-safety: a value.
#ifndef QUIRE_TOOL_CHECK_H_
#define QUIRE_TOOL_CHECK_H_

#include <string>
#include <system_error>
#include <utility>

namespace quire::tool {

struct Check {
  enum class Answer {
    kYes,
    kNo,
    kUnknown,  // it could not be tried; `found` says why
  };

  std::string name;  // a statement that is true or not
  Answer answer = Answer::kYes;
  std::string found;    // what was seen, where there is more to say
  std::string instead;  // of a kNo: what Quire does then
  std::string allow;    // of a kNo: how to have it, if there is a way
  bool needed = false;  // a mount does not work without it
};

// A finished check, from whether it is there and what to say in either case.
inline Check make_check(std::string name, bool there, std::string found, std::string instead,
                        std::string allow) {
  Check check{std::move(name), there ? Check::Answer::kYes : Check::Answer::kNo, std::move(found),
              "", ""};
  if (!there) {
    check.instead = std::move(instead);
    check.allow = std::move(allow);
  }
  return check;
}

// One that could not be tried.
inline Check untried_check(std::string name, std::string why) {
  return {std::move(name), Check::Answer::kUnknown, std::move(why), "", ""};
}

// What to say of an errno.
inline std::string reason(int error) {
  return std::generic_category().message(error);
}

// As needed by a mount.
inline Check needed(Check check) {
  check.needed = true;
  return check;
}

}  // namespace quire::tool

#endif  // QUIRE_TOOL_CHECK_H_
