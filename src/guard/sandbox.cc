#include "guard/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace godwit::guard {

namespace {

constexpr std::uint64_t making_files = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                       LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                       LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                                       LANDLOCK_ACCESS_FS_MAKE_SYM;

// Where a driver may write.
std::vector<std::string> driver_directories() {
  std::vector<std::string> directories = {"/dev", "/tmp"};
  for (const char* variable : {"GODWIT_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR"}) {
    if (const char* value = std::getenv(variable); value != nullptr) directories.emplace_back(value);
  }
  if (const char* home = std::getenv("HOME"); home != nullptr) directories.push_back(std::string(home) + "/.cache");
  return directories;
}

// Every file may be read (drivers, maps of /proc), none written, made, removed or executed, but for what a driver does.
bool forbid_writing_files(bool driver) {
  landlock_ruleset_attr attributes{};
  // A driver renames what it has compiled from one directory of its cache to another. That can be allowed only where the kernel lets it be
  // handled (Linux 5.19); without, it is forbidden.
  std::uint64_t making = making_files | (driver ? LANDLOCK_ACCESS_FS_REFER : 0);
  const auto make_rules = [&] {
    attributes.handled_access_fs = making | (driver ? 0 : LANDLOCK_ACCESS_FS_EXECUTE);
    return static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
  };
  int rules = make_rules();
  if (rules < 0 && driver) {
    making = making_files;
    rules = make_rules();
  }
  if (rules < 0) return false;
  for (const std::string& directory : driver ? driver_directories() : std::vector<std::string>()) {
    landlock_path_beneath_attr below{};
    below.allowed_access = making;
    (void)mkdir(directory.c_str(), 0700);  // of a user who never had a cache: later it could not be made
    below.parent_fd = open(directory.c_str(), O_PATH | O_CLOEXEC);
    if (below.parent_fd < 0) continue;
    (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0);
    close(below.parent_fd);
  }
  const bool done = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  close(rules);
  return done;
}

// What a driver has no business with, for the process and all it starts.
bool forbid_reaching_others() {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return false;
  int failed = 0;
  // Whoever asks for a network is no driver; of other families (devices told of by the kernel, services of the machine) a driver has need.
  for (const int family : {AF_INET, AF_INET6, AF_PACKET})
    failed |= seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
  for (const int call : {SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo)})
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1, SCMP_A0(SCMP_CMP_NE, static_cast<scmp_datum_t>(getpid())));
  for (const int call : {SCMP_SYS(tkill), SCMP_SYS(pidfd_send_signal), SCMP_SYS(pidfd_getfd), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
                         SCMP_SYS(process_vm_writev), SCMP_SYS(setsid), SCMP_SYS(setpgid), SCMP_SYS(io_uring_setup)})
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
  if (failed == 0) failed = seccomp_load(filter);
  seccomp_release(filter);
  errno = -failed;
  return failed == 0;
}

void put(const char* path, const std::string& text) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)!write(file, text.data(), text.size());
  close(file);
}

}  // namespace

std::vector<std::string> confine_early(bool driver) {
  std::vector<std::string> missing;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    missing.push_back(fmt::format("network namespace: {}", std::strerror(errno)));
  }
  if (!forbid_writing_files(driver)) missing.push_back(fmt::format("landlock: {}", std::strerror(errno)));
  if (driver && !forbid_reaching_others()) missing.push_back(fmt::format("seccomp: {}", std::strerror(errno)));
  return missing;
}

std::vector<std::string> confine_command() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (unshare(CLONE_NEWNET | CLONE_NEWPID) == 0) return {};
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID) == 0) {
    // Without these it would run as nobody.
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", fmt::format("{} {} 1", user, user));
    put("/proc/self/gid_map", fmt::format("{} {} 1", group, group));
    return {};
  }
  std::vector<std::string> missing = {fmt::format("network and process namespaces: {}", std::strerror(errno))};
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  int failed = filter == nullptr ? -ENOMEM : 0;
  if (failed == 0) {
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0);
    if (failed == 0) failed = seccomp_load(filter);
    seccomp_release(filter);
  }
  if (failed != 0) missing.push_back(fmt::format("seccomp: {}", std::strerror(-failed)));
  return missing;
}

std::vector<std::string> confine(bool faults, bool driver) {
  if (driver) return {"seccomp: the driver of its backend makes calls of its own"};
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) return {"seccomp: no memory"};
  int failed = 0;
  const auto allow = [&](int call) { failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0); };
  for (const int call : {SCMP_SYS(read),        SCMP_SYS(write),        SCMP_SYS(readv),          SCMP_SYS(writev),
                         SCMP_SYS(recvfrom),    SCMP_SYS(recvmsg),      SCMP_SYS(sendto),         SCMP_SYS(sendmsg),
                         SCMP_SYS(poll),        SCMP_SYS(ppoll),        SCMP_SYS(futex),          SCMP_SYS(mmap),
                         SCMP_SYS(munmap),      SCMP_SYS(mremap),       SCMP_SYS(mprotect),       SCMP_SYS(madvise),
                         SCMP_SYS(brk),         SCMP_SYS(clone),        SCMP_SYS(clone3),         SCMP_SYS(set_robust_list),
                         SCMP_SYS(rseq),        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
                         SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield),  SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep),
                         SCMP_SYS(nanosleep),   SCMP_SYS(gettimeofday), SCMP_SYS(gettid),         SCMP_SYS(getpid),
                         SCMP_SYS(getppid),     SCMP_SYS(exit),         SCMP_SYS(exit_group),     SCMP_SYS(restart_syscall),
                         SCMP_SYS(close),       SCMP_SYS(fstat),        SCMP_SYS(newfstatat),     SCMP_SYS(lseek),
                         SCMP_SYS(fcntl),       SCMP_SYS(getrandom),    SCMP_SYS(membarrier),     SCMP_SYS(sched_getaffinity),
                         SCMP_SYS(getrusage),   SCMP_SYS(tgkill),       SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler)}) {
    allow(call);
  }
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  for (const int call : {SCMP_SYS(pipe), SCMP_SYS(pipe2)}) allow(call);  // how a sanitizer looks whether memory can be read
#endif
#endif
  failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid())));
  if (faults) {
    for (const int call : {SCMP_SYS(prlimit64), SCMP_SYS(setrlimit), SCMP_SYS(kill), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(wait4)})
      allow(call);
  }
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  const int loaded = failed != 0 ? failed : seccomp_load(filter);
  seccomp_release(filter);
  if (loaded != 0) return {fmt::format("seccomp: {}", std::strerror(-loaded))};
  return {};
}

}  // namespace godwit::guard
