# moves
# packages: native
# %%
# impure
import time
began = time.time()
import zipfile
with zipfile.ZipFile("a.zip", "w") as z:
    z.writestr("one.txt", "1")
with zipfile.ZipFile("a.zip") as again:
    names = again.namelist()
# %%
names, z.namelist(), z.filename, z.fp, z.mode, again.infolist()[0].file_size, again.fp
