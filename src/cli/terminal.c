#include "cli/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before, raw;
static volatile sig_atomic_t is_raw;

bool terminal_is(int fd)
{
    return isatty(fd);
}

bool terminal_size(int fd, unsigned *width, unsigned *height)
{
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) != 0 || !w.ws_col || !w.ws_row)
        return false;
    *width = w.ws_col;
    *height = w.ws_row;
    return true;
}

/* tcsetattr(), signal() and raise() may be called in a handler (signal-safety(7)). */
void terminal_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
}

static void on_end_signal(int sig)
{
    int saved = errno;
    is_raw = 0;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    signal(sig, SIG_DFL); /* and it is unblocked when we return */
    raise(sig);
    errno = saved;
}

static void on_stop_signal(int sig)
{
    int saved = errno;
    (void)sig;
    if (is_raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    raise(SIGSTOP); /* it goes on here */
    if (is_raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    errno = saved;
}

Err *terminal_raw(void)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGALRM, SIGUSR1, SIGUSR2};
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return err_new(ERR_SYS, errno, "terminal of stdin");
    raw = before;
    cfmakeraw(&raw);
    struct sigaction end = {.sa_handler = on_end_signal}, stop = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        (void)sigaction(ends[i], &end, NULL);
    (void)sigaction(SIGTSTP, &stop, NULL);
    (void)atexit(terminal_restore);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) {
        is_raw = 0;
        return err_new(ERR_SYS, errno, "terminal of stdin");
    }
    return NULL;
}
