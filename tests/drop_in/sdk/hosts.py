"""Drives a client of E2B that builds the host of a sandbox itself, over TLS, with the domain as its only setting.

    E2B_DOMAIN=tower.localhost:PORT E2B_API_KEY=… SSL_CERT_FILE=issuer.pem python3 hosts.py

Such are e2b-code-interpreter before 2.9, as agent frameworks pin it. Calls go to `https://api.DOMAIN`, `https://49983-ID.DOMAIN`
and `https://49999-ID.DOMAIN`. Names below `localhost` are this machine (RFC 6761); a resolver that does not know that is
replaced by `loopback_names`, which also fails the script if another name is looked up. The script asserts its results.
"""

import faulthandler
import os
import sys

from e2b_code_interpreter import Sandbox
from loopback_names import looked_up


def create_sandbox(**options):
    """Creates a sandbox; with older clients by a call of the class."""
    return Sandbox.create(**options) if hasattr(Sandbox, "create") else Sandbox(**options)


def main():
    faulthandler.dump_traceback_later(300, exit=True)
    domain = os.environ["E2B_DOMAIN"]
    name = domain.partition(":")[0]
    sandbox = create_sandbox(timeout=120)
    assert sandbox.get_host(8000) == f"8000-{sandbox.sandbox_id}.{domain}", sandbox.get_host(8000)
    assert sandbox.run_code("x = 41").text is None
    ran = sandbox.run_code("print('out')\nx + 1")
    assert (ran.text, ran.logs.stdout) == ("42", ["out\n"]), ran
    assert sandbox.run_code("1 / 0").error.name == "ZeroDivisionError"
    sandbox.files.write("/home/user/note.txt", "hello")
    assert sandbox.files.read("/home/user/note.txt") == "hello"
    assert sandbox.is_running()
    connected = Sandbox.connect(sandbox.sandbox_id)
    assert connected.run_code("x").text == "41"
    assert connected.get_host(8000) == sandbox.get_host(8000)
    sandbox.kill()
    assert not sandbox.is_running()
    expected = {f"{label}.{name}" for label in ("api", f"49983-{sandbox.sandbox_id}", f"49999-{sandbox.sandbox_id}")}
    assert expected <= looked_up, looked_up
    print("all right")


main()
sys.stdout.flush()
os._exit(0)
