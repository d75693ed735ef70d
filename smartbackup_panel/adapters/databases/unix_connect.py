"""Run as a script: become another user, connect to a unix socket, hand the connected socket back, exit.

A database server asks the kernel who connected. A worker that is root would be taken for the server's own admin, whatever
login it shows, so the connection is made by a child that is not root. Arguments: uid gid path; descriptor 0 is the channel.
Standard library only, and everything is imported before the change of user.
"""

import os
import socket
import sys

CONNECT_TIMEOUT_SECONDS = 10.0


def main() -> int:
    uid, gid, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    channel = socket.socket(fileno=os.dup(0))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            server.connect(path)
        except OSError as error:
            channel.sendall(b"-" + (error.strerror or str(error)).encode())
            return 1
        socket.send_fds(channel, [b"+"], [server.fileno()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
