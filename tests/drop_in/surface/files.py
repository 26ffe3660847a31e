"""Promises about files, watches and signed links, with the class `Sandbox`."""

import gzip
import hashlib
import io
import random
import urllib.error
import urllib.request
from datetime import datetime, timezone

from e2b import FileType
from e2b.exceptions import AuthenticationException, FileNotFoundException, InvalidArgumentException, SandboxException
from e2b.sandbox.filesystem.watch_handle import FilesystemEventType
from promises import keep_all, promise, raises, wait_until

BIG = random.Random(1).randbytes(20 << 20)


@promise
def a_file_is_read_as_it_was_written(sandbox):
    files = sandbox.files
    assert files.write("/srv/text", "żółć\n🐍\r\n").path == "/srv/text"
    assert files.read("/srv/text") == "żółć\n🐍\r\n"
    every_byte = bytes(range(256))
    files.write("bytes", every_byte)
    assert files.read("/home/user/bytes", format="bytes") == every_byte
    files.write("bytes", b"")
    assert files.read("bytes", format="bytes") == b"", "a file is replaced"
    files.write("of a stream", io.BytesIO(every_byte))
    files.write("of pieces", (bytes([n]) for n in range(256)))
    files.write("packed", "x" * 100_000, gzip=True)
    for name in "of a stream", "of pieces":
        assert b"".join(files.read(name, format="stream")) == every_byte, name
    assert files.read("packed", gzip=True) == "x" * 100_000
    assert "nowhere" in str(raises(FileNotFoundException, files.read, "/srv/nowhere"))
    raises(InvalidArgumentException, files.read, "/srv")
    raises(InvalidArgumentException, files.write, "/srv", "a folder")


@promise
def many_files_are_written_at_once_with_the_folders_above_them(sandbox):
    entries = [{"path": f"/opt/deep/{n}/ż {n}.txt", "data": f"{n}"} for n in range(30)]
    written = sandbox.files.write_files([*entries, {"path": "beside", "data": b"\x00\xff"}])
    assert [entry.path for entry in written] == [*(entry["path"] for entry in entries), "/home/user/beside"]
    assert {entry.type for entry in written} == {FileType.FILE}
    assert sandbox.commands.run("cat /opt/deep/*/* | wc -c").stdout == "50\n"
    assert sandbox.files.read("beside", format="bytes") == b"\x00\xff"
    assert sandbox.files.write_files([]) == []


@promise
def a_folder_is_listed_to_the_depth_that_is_asked_for(sandbox):
    sandbox.commands.run(
        "mkdir -p /home/user/a/b/c && echo 12 > /home/user/a/f && touch /home/user/a/b/g '/home/user/a/b/c/h i'"
    )

    def paths(**options):
        return [entry.path for entry in sandbox.files.list("/home/user/a", **options)]

    assert sorted(paths()) == ["/home/user/a/b", "/home/user/a/f"]
    assert sorted(paths(depth=2)) == ["/home/user/a/b", "/home/user/a/b/c", "/home/user/a/b/g", "/home/user/a/f"]
    assert "/home/user/a/b/c/h i" in paths(depth=3)
    entries = {entry.name: entry for entry in sandbox.files.list("/home/user/a")}
    assert entries["b"].type == FileType.DIR and entries["f"].type == FileType.FILE and entries["f"].size == 3, entries
    assert {"bin", "etc", "home", "usr"} <= {entry.name for entry in sandbox.files.list("/")}
    raises(FileNotFoundException, sandbox.files.list, "/home/user/nowhere")
    raises(InvalidArgumentException, sandbox.files.list, "/home/user/a/f")
    raises(InvalidArgumentException, sandbox.files.list, "/home/user/a", depth=0)


@promise
def the_information_about_a_file_is_that_of_the_file_system(sandbox):
    sandbox.files.write("/srv/f", "12345")
    sandbox.commands.run("chown user: /srv/f; chmod 640 /srv/f; touch -d 2024-02-29T12:00:00Z /srv/f", user="root")
    info = sandbox.files.get_info("/srv/f")
    assert (info.name, info.path, info.type, info.size) == ("f", "/srv/f", FileType.FILE, 5), info
    assert (info.mode & 0o777, info.permissions, info.owner, info.group) == (0o640, "-rw-r-----", "user", "user"), info
    assert info.modified_time == datetime(2024, 2, 29, 12, tzinfo=timezone.utc) and info.symlink_target is None, info
    folder = sandbox.files.get_info("/etc")
    assert (folder.type, folder.owner, folder.permissions) == (FileType.DIR, "root", "drwxr-xr-x"), folder
    assert sandbox.files.exists("/etc/passwd") and sandbox.files.exists("/etc") and not sandbox.files.exists("/etc/no")
    raises(FileNotFoundException, sandbox.files.get_info, "/srv/nowhere")


@promise
def files_and_folders_are_made_renamed_and_removed(sandbox):
    files = sandbox.files
    assert files.make_dir("/srv/a/b") and not files.make_dir("/srv/a/b")
    files.write("/srv/a/b/f", "kept")
    assert files.rename("/srv/a", "/srv/moved").path == "/srv/moved"
    assert files.read("/srv/moved/b/f") == "kept" and not files.exists("/srv/a")
    files.write("/srv/other", "replaced")
    assert files.rename("/srv/moved/b/f", "/srv/other").name == "other"
    assert files.read("/srv/other") == "kept"
    files.remove("/srv/moved")
    files.remove("/srv/other")
    assert not files.exists("/srv/moved") and not files.exists("/srv/other")
    raises(FileNotFoundException, files.rename, "/srv/nowhere", "/srv/x")
    raises(InvalidArgumentException, files.make_dir, "/etc/passwd")


@promise
def a_symbolic_link_is_shown_followed_and_removed_alone(sandbox):
    files = sandbox.files
    files.write("/srv/target", "behind the link")
    sandbox.commands.run("ln -s /srv/target /srv/link; ln -s /srv /srv/loop; ln -s no/where /srv/dangling", user="root")
    link = files.get_info("/srv/link")
    # The kind is that of the target, as envd has it in this version.
    assert (link.type, link.symlink_target, link.permissions[0]) == (FileType.FILE, "/srv/target", "L"), link
    listed = {entry.name: (entry.type, entry.symlink_target) for entry in files.list("/srv")}
    assert listed["target"] == (FileType.FILE, None) and listed["loop"] == (FileType.DIR, "/srv"), listed
    assert files.read("/srv/link") == "behind the link" == files.read("/srv/loop/loop/target")
    files.write("/srv/link", "written through it")
    assert files.read("/srv/target") == "written through it"
    assert files.get_info("/srv/link").symlink_target == "/srv/target", "the link has stayed"
    raises(FileNotFoundException, files.read, "/srv/dangling")
    files.remove("/srv/link")
    assert files.read("/srv/target") == "written through it" and not files.exists("/srv/link")


@promise
def files_belong_to_the_user_who_writes_them(sandbox):
    files, run = sandbox.files, sandbox.commands.run
    assert files.write("mine", "of user").path == "/home/user/mine"
    assert files.write("mine", "of root", user="root").path == "/root/mine"
    assert (files.read("mine"), files.read("mine", user="root")) == ("of user", "of root")
    assert run("stat -c %U:%G /home/user/mine /root/mine", user="root").stdout == "user:user\nroot:root\n"
    assert files.get_info("/root/mine").owner == "root"
    files.make_dir("/home/user/new/er")
    run("touch new/er/allowed", user="user")
    run("cat /root/mine > copy || exit 0", user="user")
    assert files.read("copy") == "", "a command of user cannot read what root has written"
    assert "nobody-here" in str(raises(AuthenticationException, files.write, "x", "y", user="nobody-here"))


@promise
def a_big_file_arrives_whole_and_commands_cells_and_clients_see_one_root(sandbox):
    digest = hashlib.sha256(BIG).hexdigest()
    sandbox.files.write("/srv/big", BIG)
    assert sandbox.commands.run("sha256sum < /srv/big").stdout.split()[0] == digest
    assert hashlib.sha256(sandbox.files.read("/srv/big", format="bytes")).hexdigest() == digest
    streamed = hashlib.sha256()
    for piece in sandbox.files.read("/srv/big", format="stream"):
        streamed.update(piece)
    assert streamed.hexdigest() == digest
    cell = "import hashlib, pathlib\nhashlib.sha256(pathlib.Path('/srv/big').read_bytes()).hexdigest()"
    assert sandbox.run_code(cell).text == digest
    sandbox.run_code("_ = pathlib.Path('/tmp/of_cell').write_text('of a cell')")
    assert sandbox.commands.run("cat /tmp/of_cell").stdout == "of a cell" == sandbox.files.read("/tmp/of_cell")


@promise
def metadata_stays_with_a_file(sandbox):
    sandbox.commands.run("true")
    written = sandbox.files.write("/srv/f", "x", metadata={"Author": "ada", "of": "a b"})
    assert written.metadata == {"author": "ada", "of": "a b"}, written
    assert sandbox.files.rename("/srv/f", "/srv/g").metadata == written.metadata
    assert sandbox.files.list("/srv")[0].metadata == written.metadata == sandbox.files.get_info("/srv/g").metadata
    cell = "import os\nos.getxattr('/srv/g', 'user.e2b.author'), os.setxattr('/srv/g', 'user.e2b.by', b'cell')"
    assert sandbox.run_code(cell).text == "(b'ada', None)"
    assert sandbox.files.get_info("/srv/g").metadata["by"] == "cell"
    assert not sandbox.files.write("/srv/g", "y").metadata


def fetch(url, data=None, headers=None):
    """Returns the status and the body of a request without credentials."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {})) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


@promise
def signed_links_download_and_upload_without_a_key(sandbox):
    sandbox.files.write("/srv/f ż", "by link")
    link = sandbox.download_url("/srv/f ż")
    assert fetch(link) == (200, b"by link")
    assert fetch(sandbox.download_url("/srv/f ż", use_signature_expiration=60)) == (200, b"by link")
    assert fetch(sandbox.download_url("/srv/f ż", use_signature_expiration=-60))[0] == 401
    assert fetch(link.replace("/srv/f", "/srv/g").replace("%2Fsrv%2Ff", "%2Fsrv%2Fg"))[0] == 401
    assert fetch(link.partition("&signature")[0])[0] == 401
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nuploaded\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    status, answer = fetch(sandbox.upload_url("/srv/up"), form, headers)
    assert status == 200 and sandbox.files.read("/srv/up") == "uploaded", answer
    assert fetch(sandbox.upload_url("own", user="root"), form, headers)[0] == 200
    assert sandbox.files.get_info("/root/own").owner == "root"
    request = urllib.request.Request(link, headers={"accept-encoding": "gzip"})
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
        assert (gzip.decompress(body) if answer.headers["content-encoding"] == "gzip" else body) == b"by link"


class Watch:
    """A watch and the events that it has reported, each as a name and a kind."""

    def __init__(self, sandbox, path, **options):
        self.handle, self.events = sandbox.files.watch_dir(path, **options), []

    def poll(self):
        self.events += self.handle.get_new_events()
        return {(event.name, event.type.value) for event in self.events}

    def wait_for(self, *events):
        wait_until(lambda: set(events) <= self.poll())


@promise
def a_watch_reports_what_happens_in_its_folder(sandbox):
    sandbox.commands.run("mkdir -p /home/user/w/inner && touch /home/user/w/old")
    watch = Watch(sandbox, "/home/user/w")
    sandbox.commands.run(
        "cd /home/user/w && echo 1 > new && chmod 600 new && rm old && mv new moved && touch inner/deep"
    )
    watch.wait_for(("new", "create"), ("new", "write"), ("new", "chmod"), ("old", "remove"), ("new", "rename"),
                   ("moved", "create"))  # fmt: skip
    sandbox.files.write("/home/user/w/by_client", "x")
    sandbox.run_code("open('/home/user/w/by_cell', 'w').write('x')")
    watch.wait_for(("by_client", "create"), ("by_client", "write"), ("by_cell", "write"))
    assert not [event for event in watch.events if "deep" in event.name], watch.events
    watch.handle.stop()
    raises(SandboxException, watch.handle.get_new_events)
    raises(FileNotFoundException, sandbox.files.watch_dir, "/home/user/nowhere")
    raises(InvalidArgumentException, sandbox.files.watch_dir, "/home/user/w/moved")


@promise
def a_recursive_watch_reports_folders_that_are_made_later_and_the_entries(sandbox):
    sandbox.commands.run("mkdir -p /home/user/w/a/b")
    watch = Watch(sandbox, "/home/user/w", recursive=True, include_entry=True)
    sandbox.files.write("/home/user/w/a/b/f", "12345")
    watch.wait_for(("a/b/f", "create"), ("a/b/f", "write"))
    written = [event.entry for event in watch.events if event.type == FilesystemEventType.WRITE][-1]
    assert (written.path, written.type, written.size) == ("/home/user/w/a/b/f", FileType.FILE, 5), written
    sandbox.files.make_dir("/home/user/w/later/still")
    watch.wait_for(("later", "create"))
    # What is made in a folder before the watch has reached it may be missed.
    wait_until(lambda: sandbox.files.write("/home/user/w/later/g", "x") and ("later/g", "write") in watch.poll())
    sandbox.files.remove("/home/user/w/a")
    watch.wait_for(("a/b/f", "remove"), ("a", "remove"))
    watch.handle.stop()


keep_all()
