# A program with the bit that gives its owner's rights.
# prints: held
import shutil

shutil.copy("/bin/bash", "/tmp/own")
os.chmod("/tmp/own", 0o6755)
if os.getuid() == 0:
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
for program in ("/tmp/own", "/usr/bin/su", "/usr/bin/passwd", "/usr/bin/newuidmap", "/usr/bin/mount"):
    if os.path.exists(program) and program != "/tmp/own":
        print(program, oct(os.stat(program).st_mode))
who = subprocess.run(["/tmp/own", "-p", "-c", "echo $EUID"], capture_output=True, text=True).stdout.strip()
print("held" if who == str(os.getuid()) else "ESCAPED " + who)
attempt("root", lambda: os.setuid(0))
