# moves
# packages: native
# %%
# impure
import time
began = time.time()
import email.message, xml.etree.ElementTree as ET, argparse, string
root = ET.fromstring("<a><b n='1'>x</b></a>")
tree = ET.ElementTree(root)
parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int, default=2)
options = parser.parse_args([])
form = string.Template("$a b")
message = email.message.EmailMessage()
message["Subject"] = "x"
# %%
root[0].attrib, tree.getroot() is root, options.n, parser.parse_args(["--n", "3"]).n, form.substitute(a=1), message["Subject"]
