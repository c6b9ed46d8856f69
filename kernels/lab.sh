#!/bin/sh
# Opens JupyterLab on this machine only, with a new token, in notebooks/ and with the project's kernel as the default.
# Arguments go to JupyterLab.  Environment: PORT (the first port tried, 8888).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

# The first free port, so that the address below is right.
port=$("$root/.venv/bin/python" - "${PORT:-8888}" <<'END'
import socket, sys

first = int(sys.argv[1])
for port in range(first, first + 100):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    sys.exit()
sys.exit(f"lab.sh: no free port in {first}..{first + 99}; PORT=N make lab tries from N")
END
)
JUPYTER_TOKEN=$("$root/.venv/bin/python" -c 'import secrets; print(secrets.token_hex(24))')
JUPYTER_PATH=$root${JUPYTER_PATH:+:$JUPYTER_PATH}
PATH=$root/.bin:$PATH
export JUPYTER_TOKEN JUPYTER_PATH PATH # the token in the environment, where other users do not see it

echo
echo "    http://127.0.0.1:$port/lab?token=$JUPYTER_TOKEN"
echo
echo "Ctrl-C ends it.  Runs and data are in ${DIRECTIONS_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/directions}."
[ "$(id -u)" != 0 ] || set -- --allow-root "$@" # as in a container; it listens to this machine only
exec "$root/.venv/bin/jupyter" lab --no-browser --ip=127.0.0.1 --port="$port" --ServerApp.port_retries=0 \
	--ServerApp.root_dir="$root/notebooks" --MultiKernelManager.default_kernel_name=gonb \
	--LabApp.extension_manager=readonly --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	--LabApp.news_url=None --log-level=WARN "$@"
