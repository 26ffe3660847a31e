# moves
# packages: PIL
# %%
# impure
import time
began = time.time()
from PIL import Image, ImageDraw
picture = Image.new("RGB", (4, 3), "red")
draw = ImageDraw.Draw(picture)
draw.line((0, 0, 3, 2), fill=(int(began) % 9, 0, 0))
picture.save("a.png")
again = Image.open("a.png")
size = again.size
with Image.open("a.png") as closed:
    closed.load()
# %%
picture.getpixel((3, 0)), again.getpixel((3, 0)), size, closed.size, closed.format
