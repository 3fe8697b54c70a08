"""Speaks the launcher's protocol by hand, from every state that a process of the user can be in.

usage: raw.py LAUNCHER SCENARIO. Prints what the launcher answered, and what the program printed.
"""
import ctypes
import hashlib
import os
import resource
import signal
import socket
import struct
import sys
import time

LAUNCHER, SCENARIO = sys.argv[1:3]
REQUEST, REFUSED, FAILED, STARTED = 1, 2, 3, 4
libc = ctypes.CDLL(None, use_errno=True)


def text(data):
    return struct.pack("<I", len(data)) + data


def items(encoded):
    return struct.pack("<I", len(encoded)) + b"".join(encoded)


def request(script, image="/bin/sh", sha=None, engine=0, tier=0, weaker=(), numbers=()):
    sha = sha or hashlib.sha256(open(image, "rb").read()).digest()
    return b"".join([
        bytes([tier, engine]), items([bytes([one]) for one in weaker]), b"\0" * 4,
        text(image.encode()), sha, b"\0", text(b"sh"), items([text(b"-c"), text(script.encode())]),
        items([text(b"PATH") + text(b"/usr/bin:/bin"), text(b"SECRET") + text(b"canary")]),
        b"\0", b"\0\0\0", b"\0", items([struct.pack("<q", number) for number in numbers]), items([]) * 5,
    ])


def header(kind, body, count, version=1, magic=b"EVSL"):
    return magic + bytes([version, kind, 0, 0]) + struct.pack("<II", body, count)


def send(sock, body, fds, kind=REQUEST, **of):
    """The launcher may refuse by what it has read so far and be gone before the rest; its answer is still there."""
    try:
        sock.sendall(header(kind, len(body), len(fds), **of))
        for start in range(0, len(fds), 253):
            socket.send_fds(sock, [b"d"], fds[start:start + 253])
        sock.sendall(body)
    except (BrokenPipeError, ConnectionResetError):
        pass


def receive(sock):
    sock.settimeout(20)
    head = b""
    try:
        while len(head) < 16:
            more = sock.recv(16 - len(head))
            if not more:
                return "gone", b"", []
            head += more
        kind = head[5]
        length, count = struct.unpack("<II", head[8:])
        fds = []
        if count:
            _, fds, _, _ = socket.recv_fds(sock, 1, 10)
        body = b""
        while len(body) < length:
            body += sock.recv(length - len(body))
        return {REFUSED: "refused", FAILED: "failed", STARTED: "started"}[kind], body, fds
    except ConnectionResetError:
        return "gone", b"", []
    except socket.timeout:
        return "silent", b"", []


def launch(before=lambda: None, argv=("envseal-launch",), env=None, program=LAUNCHER):
    """The launcher as a child in a state that `before` makes; gives the socket and its number."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(theirs.fileno(), 0)
            os.set_inheritable(0, True)
            before()
            os.execve(program, list(argv), env or {})
        finally:
            os._exit(99)
    theirs.close()
    return ours, pid


def descriptors(output):
    here = os.open(".", os.O_PATH)
    null = os.open("/dev/null", os.O_RDWR)
    return [here, os.open("/bin/sh", os.O_RDONLY), null, output, output]


def tell(sock, pid, reader=None):
    kind, body, _fds = receive(sock)
    print(kind, body.decode(errors="replace") if kind == "refused" else "")
    if reader is not None:
        print(open(reader, "rb").read().decode(errors="replace"))
    sock.close()
    _, status = os.waitpid(pid, 0)
    print("status", os.waitstatus_to_exitcode(status))


STATE = ("[ $(id -g) = $(id -rg) ] && [ $(id -g) -ge 1879048192 ] && echo its own; echo; umask; grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'; echo; pwd; "
         "env | sort | tr '\\n' ' '; echo; ls /proc/self/fd | tr '\\n' ' '")


def run(before=lambda: None, script=STATE, **of):
    reader, writer = os.pipe()
    sock, pid = launch(before, **of)
    send(sock, request(script), descriptors(writer))
    os.close(writer)
    tell(sock, pid, reader)


def many():
    resource.setrlimit(resource.RLIMIT_NOFILE, (12000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for _ in range(10000):
        os.set_inheritable(os.dup(0), True)


def signals():
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))


def timers():
    # Not before the launcher can have begun: until then a timer is what any signal of the user is.
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.001)


def gone_directory():
    path = f"/tmp/gone-{os.getpid()}"
    os.mkdir(path)
    os.chdir(path)
    os.rmdir(path)


def closed():
    for number in (1, 2):
        os.close(number)


def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


def argc_0():
    empty = (ctypes.c_char_p * 1)(None)
    libc.execve(LAUNCHER.encode(), empty, empty)


INJECT = {"LD_PRELOAD": os.environ.get("EVIL", ""), "LD_AUDIT": os.environ.get("EVIL", ""),
          "LD_LIBRARY_PATH": "/tmp", "LD_DEBUG": "all", "LD_DEBUG_OUTPUT": "/tmp/envseal-ld-debug",
          "GLIBC_TUNABLES": "glibc.malloc.mxfast=glibc.malloc.mxfast=" + "A" * 5000,
          "MALLOC_CHECK_": "3", "RUST_BACKTRACE": "full", "RUST_MIN_STACK": "x", "TMPDIR": "/nowhere"}

if SCENARIO == "plain":
    run()
elif SCENARIO == "descriptors":
    run(many)
elif SCENARIO == "signals":
    run(signals)
elif SCENARIO == "timers":
    run(timers, script=f"sleep 0.8; {STATE}")
elif SCENARIO == "umask":
    run(lambda: os.umask(0))
elif SCENARIO == "directory":
    run(gone_directory)
elif SCENARIO == "closed":
    run(closed)
elif SCENARIO == "fsize":
    run(limit(resource.RLIMIT_FSIZE, 0))
elif SCENARIO == "core":
    run(limit(resource.RLIMIT_CORE, resource.RLIM_INFINITY), script="ulimit -c; ulimit -Hc")
elif SCENARIO == "environment":
    run(env=INJECT)
elif SCENARIO == "arguments":
    run(argv=("--help", "A" * 100000))
elif SCENARIO == "argc-0":
    run(argc_0)
elif SCENARIO == "link":
    os.symlink(LAUNCHER, link := f"/tmp/link-{os.getpid()}")
    run(program=link)
    os.unlink(link)
elif SCENARIO.startswith("nofile-"):
    run(limit(resource.RLIMIT_NOFILE, int(SCENARIO[7:])))
elif SCENARIO == "no-new-privileges":
    run(lambda: libc.prctl(38, 1, 0, 0, 0))
elif SCENARIO == "user-namespace":
    run(lambda: libc.unshare(0x10000000))
elif SCENARIO == "traced":
    # PTRACE_TRACEME; the exec stops it and it is continued as it is.
    ours, pid = launch(lambda: libc.ptrace(0, 0, None, None))
    os.waitpid(pid, 0)
    libc.ptrace(7, pid, None, None)
    kind, body, _ = receive(ours)
    print(kind, body.decode())
elif SCENARIO == "version":
    sock, pid = launch()
    send(sock, b"anything", [], version=9)
    tell(sock, pid)
elif SCENARIO == "malformed":
    body = request("true")
    null = os.open("/dev/null", os.O_RDWR)
    whole = lambda: descriptors(null)
    wrong = {
        "magic": lambda s: s.sendall(header(REQUEST, 0, 0, magic=b"GET ")),
        "kind": lambda s: send(s, body, whole(), kind=STARTED),
        "huge": lambda s: s.sendall(header(REQUEST, 0xFFFFFFFF, 0)),
        "many": lambda s: s.sendall(header(REQUEST, 4, 0xFFFFFFFF)),
        "nothing": lambda s: s.shutdown(socket.SHUT_WR),
        "short": lambda s: (s.sendall(header(REQUEST, len(body), 0) + body[:40]), s.shutdown(socket.SHUT_WR)),
        "cut": lambda s: send(s, body[:-3], whole()),
        "longer": lambda s: send(s, body + b"\0", whole()),
        "no descriptors": lambda s: send(s, body, []),
        "few descriptors": lambda s: send(s, body, whole()[:3]),
        "more descriptors": lambda s: send(s, body, whole() + [null] * 300),
        "bytes for descriptors": lambda s: s.sendall(header(REQUEST, len(body), 5) + b"x" * 100),
        "other count": lambda s: (s.sendall(header(REQUEST, len(body), 2)), socket.send_fds(s, [b"d"], whole())),
        "image is a directory": lambda s: send(s, body, [whole()[0], os.open("/tmp", os.O_RDONLY)] + whole()[2:]),
        "image is a pipe": lambda s: send(s, body, [whole()[0], os.pipe()[0]] + whole()[2:]),
        "image by path only": lambda s: send(s, body, [whole()[0], os.open("/bin/sh", os.O_PATH)] + whole()[2:]),
        "image has other bytes": lambda s: send(s, request("true", sha=b"\1" * 32), whole()),
        "namespaces": lambda s: send(s, request("true", engine=1), whole()),
    }
    for name, act in wrong.items():
        sock, pid = launch()
        try:
            act(sock)
        except OSError:
            pass
        print(f"{name}:", end=" ", flush=True)
        tell(sock, pid)
elif SCENARIO == "waived":
    # Every guarantee is waived, so that a start with the group alone would do.
    reader, writer = os.pipe()
    sock, pid = launch()
    send(sock, request("grep -E 'Seccomp:|Gid' /proc/self/status | tr -d '\\n\\t '; chmod 2755 /tmp/envseal-waived || echo kept", weaker=range(15)), descriptors(writer))
    os.close(writer)
    tell(sock, pid, reader)
elif SCENARIO == "declared":
    # A number that the program cannot have is the start's own refusal.
    for number in (2, 512, -1):
        null = os.open("/dev/null", os.O_RDWR)
        sock, pid = launch()
        send(sock, request("true", numbers=[number]), descriptors(null) + [null])
        tell(sock, pid)
elif SCENARIO == "not the parent":
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        child = os.fork()
        if child == 0:
            os.dup2(theirs.fileno(), 0)
            os.execve(LAUNCHER, ["x"], {})
        os.waitpid(child, 0)
        os._exit(0)
    theirs.close()
    tell(ours, pid)
elif SCENARIO == "other sockets":
    for pair in (socket.socketpair(type=socket.SOCK_DGRAM), socket.socketpair(type=socket.SOCK_SEQPACKET)):
        pid = os.fork()
        if pid == 0:
            os.dup2(pair[1].fileno(), 0)
            os.execve(LAUNCHER, ["x"], {})
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    server = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(server.getsockname())
    pid = os.fork()
    if pid == 0:
        os.dup2(peer.fileno(), 0)
        os.execve(LAUNCHER, ["x"], {})
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
elif SCENARIO == "stopped":
    # Stopped before it begins, and continued.
    sock, pid = launch(lambda: os.kill(os.getpid(), signal.SIGSTOP))
    os.waitpid(pid, os.WUNTRACED)
    os.kill(pid, signal.SIGCONT)
    reader, writer = os.pipe()
    send(sock, request("echo went on"), descriptors(writer))
    os.close(writer)
    tell(sock, pid, reader)
elif SCENARIO == "client ends":
    # The socket is kept open by another process; the end of the client is seen all the same.
    reader, writer = os.pipe()
    client = os.fork()
    if client == 0:
        sock, pid = launch()
        send(sock, request("echo $$; exec sleep 300"), descriptors(writer))
        kind, body, _ = receive(sock)
        if kind != "started":
            print(kind, body, flush=True)
            os._exit(1)
        if os.fork() == 0:
            for number in (1, 2, reader, writer):
                os.close(number)
            time.sleep(20)
            os._exit(0)
        signal.pause()
    os.close(writer)
    program = os.read(reader, 100).decode().strip() or sys.exit("no program")
    os.kill(client, signal.SIGKILL)
    os.waitpid(client, 0)
    for _ in range(500):
        try:
            state = open(f"/proc/{program}/stat").read().rsplit(") ")[1][0]
        except OSError:
            state = "gone"
        if state in ("gone", "Z"):
            break
        time.sleep(0.01)
    print("program", state)
else:
    sys.exit(f"no scenario {SCENARIO}")
