/*
 * Preloaded into User-Mode Linux. Its kernel of Debian 12 sets the floating-point state of its processes with a buffer that is shorter than the
 * state of processors that came later (AMX), and Linux takes the whole or nothing. What lies behind the buffer is left as it is.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202

static char whole[65536] __attribute__((aligned(64)));

long ptrace(enum __ptrace_request request, ...) {
  va_list args;
  va_start(args, request);
  pid_t pid = va_arg(args, pid_t);
  void *addr = va_arg(args, void *);
  void *data = va_arg(args, void *);
  va_end(args);
  if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE) {
    struct iovec *part = data;
    struct iovec all = {whole, sizeof whole};
    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, addr, &all) == 0 && all.iov_len > part->iov_len) {
      memcpy(whole, part->iov_base, part->iov_len);
      return syscall(SYS_ptrace, request, pid, addr, &all);
    }
  }
  if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
    long peeked;
    return syscall(SYS_ptrace, request, pid, addr, &peeked) < 0 ? -1 : peeked;
  }
  return syscall(SYS_ptrace, request, pid, addr, data);
}
