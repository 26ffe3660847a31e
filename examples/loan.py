"""When is a loan paid off, and what does it cost? Exact to the cent: floats would drift over 300 instalments."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def schedule(principal, yearly_percent, instalment):
    """One (month, interest, rest) per instalment until nothing is left."""
    monthly = Decimal(yearly_percent) / 100 / 12
    rest, month = Decimal(principal), 0
    while rest > 0:
        month += 1
        interest = (rest * monthly).quantize(CENT, ROUND_HALF_UP)
        if interest >= instalment:
            raise ValueError("the instalment does not even cover the interest")
        rest = max(rest + interest - instalment, Decimal(0))
        yield month, interest, rest


def report(principal, yearly_percent, instalment):
    months = list(schedule(principal, yearly_percent, Decimal(instalment)))
    interest = sum(paid for _, paid, _ in months)
    print(f"{principal:>9} at {yearly_percent} %, {instalment} a month:"
          f" {len(months) // 12} years {len(months) % 12:>2} months, interest {interest:>10}")
    return interest


low = report(200_000, "3.9", 1_100)
high = report(200_000, "3.9", 1_300)
{"saved": str(low - high)}
