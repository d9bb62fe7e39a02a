//! The program that runs another one in a container, and ends with whoever asked for it.

/// It is told how many bytes are the input of the program that it runs, and gives them to it;
/// what it reads itself then ends with whoever attached, or with the runner when that dies, and
/// with it everything in the container that it may end. Others inside cannot look into it
/// (`PR_SET_DUMPABLE`), and it waits for those that lost their parent
/// (`PR_SET_CHILD_SUBREAPER`, where it is not the first process anyway). It gives up whatever
/// capability it has (`capset(2)`), and what it runs gets none, since it may get no privileges.
/// Its first argument is the longest that it lives, in seconds.
pub(super) const KEEPER: [&str; 4] = ["python3", "-I", "-c", KEEP];
const KEEP: &str = "\
import ctypes, os, struct, subprocess, sys, threading
libc = ctypes.CDLL(None)
libc.prctl(4, 0)
libc.prctl(36, 1)
if libc.capset(struct.pack('Ii', 0x20080522, 0), bytes(24)) != 0:
    os._exit(126)
def end(status):
    try:
        os.kill(-1, 9)
    except OSError:
        pass
    os._exit(status)
own = sys.stdin.buffer
told = own.readline()
if not told:
    end(137)
size = int(told)
given = own.read(size)
if len(given) != size:
    end(137)
def hang_up():
    own.read(1)
    end(137)
threading.Thread(target=hang_up, daemon=True).start()
timer = threading.Timer(int(sys.argv[1]), lambda: end(137))
timer.daemon = True
timer.start()
try:
    program = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE)
except OSError as error:
    print(error, file=sys.stderr)
    end(127)
def feed():
    try:
        program.stdin.write(given)
        program.stdin.close()
    except OSError:
        pass
threading.Thread(target=feed, daemon=True).start()
ended = 0
while ended != program.pid:
    ended, status = os.wait()
end(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
";
