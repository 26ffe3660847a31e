# moves: values
# %%
# impure
import datetime, decimal, pathlib, fractions, uuid, collections, re
now = datetime.datetime.now()
values = [now, now.date(), pathlib.Path(f"/tmp/{now:%S%f}"), decimal.Decimal(now.microsecond), uuid.uuid4(),
          fractions.Fraction(now.microsecond, 7), collections.Counter([now.microsecond]), re.compile(str(now.second))]
# %%
print(values)
