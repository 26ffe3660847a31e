# moves
# %%
# impure
import time
began = time.time()
import datetime, zoneinfo, uuid, decimal, fractions, ipaddress, calendar
now = datetime.datetime.now(datetime.timezone.utc)
zone = zoneinfo.ZoneInfo("UTC")
there = now.astimezone(zone)
id = uuid.uuid4()
price, part = decimal.Decimal("1.10"), fractions.Fraction(1, 3)
address, month = ipaddress.ip_address("10.0.0.1"), calendar.Calendar()
parsed = time.localtime(began)
# %%
there == now, id.version, str(price), part, address.is_private, parsed.tm_year > 2000
