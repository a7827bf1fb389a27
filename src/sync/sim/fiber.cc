#include "sync/sim/fiber.h"

#include <cxxabi.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sync/check.h"

namespace quire::sync::sim {
namespace {

constexpr std::size_t kStackBytes = std::size_t{512} << 10;
constexpr std::size_t kGuardBytes = 4096;

// Stacks with a guard page, used again from run to run. Model of Boost.Context's StackAllocator.
class StackPool {
 public:
  boost::context::stack_context allocate() {
    std::vector<void*>& pool = free_stacks();
    void* base = nullptr;
    if (pool.empty()) {
      base = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
      QUIRE_CHECK(base != MAP_FAILED);
      QUIRE_CHECK(mprotect(base, kGuardBytes, PROT_NONE) == 0);
    } else {
      base = pool.back();
      pool.pop_back();
    }
    boost::context::stack_context stack;
    stack.size = kStackBytes;
    stack.sp = static_cast<char*>(base) + kStackBytes;
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) {
    free_stacks().push_back(static_cast<char*>(stack.sp) - stack.size);
  }

 private:
  // Never destroyed: a run may end during the program's exit.
  static std::vector<void*>& free_stacks() {
    static auto* const pool = new std::vector<void*>;
    return *pool;
  }
};

}  // namespace

Fiber::Fiber(std::uint32_t number, std::string name, std::function<void()> body)
    : number_(number),
      name_(std::move(name)),
      body_(std::move(body)),
      inside_(std::allocator_arg, StackPool(), [this](boost::context::fiber&& caller) {
        outside_ = std::move(caller);
        run();
        return std::move(outside_);
      }) {}

void Fiber::run() {
  body_();
  body_ = nullptr;
  // A destructor may make locals of its own: those go too.
  while (!locals_.empty()) {
    const std::unique_ptr<Local> last = std::move(locals_.back());
    locals_.pop_back();
    if (last->value != nullptr) last->destroy(last->value);
  }
  ended_ = true;
}

void Fiber::resume() {
  QUIRE_CHECK(!ended_);
  swap_exception_state();
  inside_ = std::move(inside_).resume();
  swap_exception_state();
}

void Fiber::suspend() {
  outside_ = std::move(outside_).resume();
}

void Fiber::abandon() {
  QUIRE_CHECK(!ended_);
  ended_ = true;
  // Destroying inside_ would unwind the stack, so this object stays for good.
  static auto* const abandoned = new std::vector<std::shared_ptr<Fiber>>;
  abandoned->push_back(shared_from_this());
}

void*& Fiber::local(const void* key, void (*destroy)(void*)) {
  const auto found = std::find_if(locals_.begin(), locals_.end(),
                                  [key](const auto& local) { return local->key == key; });
  if (found != locals_.end()) return (*found)->value;
  locals_.push_back(std::make_unique<Local>(Local{key, nullptr, destroy}));
  return locals_.back()->value;
}

void Fiber::swap_exception_state() noexcept {
  ExceptionState* const current =
      reinterpret_cast<ExceptionState*>(__cxxabiv1::__cxa_get_globals());
  std::swap(*current, exceptions_);
}

}  // namespace quire::sync::sim
