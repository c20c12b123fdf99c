"""Written dates and numbers in English, French and Chinese, and what they are in figures.

Everything is drawn from a `random.Random`, so a seed gives the same pairs again. A date becomes its ISO form, a number
its digits. Forms of which the reader cannot know the order (3/5/1979) or the century (79) are not made.
"""

import datetime
import random
import unicodedata
import zlib

LANGUAGES = ("en", "fr", "zh")
FIRST_YEAR, LAST_YEAR = 1000, 2199
LARGEST_NUMBER = 999_999


def normalized(text):
    """What the tokenizer's normalizer makes of a text."""
    return unicodedata.normalize("NFKC", text).lower()


def is_round(target):
    """Numbers that are said in few ways: below a hundred, and whole thousands."""
    return target.isdigit() and (int(target) < 100 or int(target) % 1000 == 0)


def is_held_out(target):
    """Whether a date, or a number from 1,000 on, is one of the 2.5 % that training never sees in any form."""
    return len(target) >= 4 and not is_round(target) and zlib.crc32(target.encode()) % 40 == 0


# --- English ------------------------------------------------------------------------------------------

EN_ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen").split()
EN_TENS = ". . twenty thirty forty fifty sixty seventy eighty ninety".split()
EN_ORDINALS = ("zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
               "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth").split()
EN_MONTHS = "January February March April May June July August September October November December".split()
EN_SHORT = [("Jan",), ("Feb",), ("Mar",), ("Apr",), (), ("Jun",), ("Jul",), ("Aug",), ("Sep", "Sept"), ("Oct",),
            ("Nov",), ("Dec",)]
EN_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
EN_DAYS_SHORT = [("Mon",), ("Tue", "Tues"), ("Wed",), ("Thu", "Thur", "Thurs"), ("Fri",), ("Sat",), ("Sun",)]


def en_below_100(n, hyphen):
    if n < 20:
        return EN_ONES[n]
    return EN_TENS[n // 10] + (hyphen + EN_ONES[n % 10] if n % 10 else "")


def en_below_1000(n, hyphen, joint, one):
    hundreds, rest = divmod(n, 100)
    words = [(one if hundreds == 1 else EN_ONES[hundreds]) + " hundred"] if hundreds else []
    if rest:
        words.append(en_below_100(rest, hyphen))
    return joint.join(words)


def en_number(r, n):
    """One of the ways to say a number."""
    hyphen = r.choice("--- ")
    joint = r.choice((" and ", " "))
    one = "a" if r.random() < 0.15 else "one"
    if 1100 <= n <= 9999 and n // 100 % 10 and r.random() < 0.06:
        rest = joint + en_below_100(n % 100, hyphen) if n % 100 else ""
        return en_below_100(n // 100, hyphen) + " hundred" + rest
    if n == 0:
        return "zero"
    thousands, rest = divmod(n, 1000)
    text = ""
    if thousands:
        text = (one if thousands == 1 else en_below_1000(thousands, hyphen, joint, "one")) + " thousand"
        if rest >= 100:
            text += r.choice((", ", " ", " "))
        elif rest:
            text += joint
    if rest:
        text += en_below_1000(rest, hyphen, joint, "one" if thousands else one)
    return text


def en_year(r, year):
    if r.random() < 0.62:
        return str(year)
    hyphen = r.choice("--- ")
    joint = r.choice((" and ", " "))
    century, rest = divmod(year, 100)
    ways = []
    if century % 10:
        head = en_below_100(century, hyphen)
        if rest >= 10:
            ways += [f"{head} {en_below_100(rest, hyphen)}"] * 4
        elif rest:
            ways += [f"{head} oh {EN_ONES[rest]}"] * 2 + [f"{head} o {EN_ONES[rest]}"]
        ways.append(f"{head} hundred" + (joint + en_below_100(rest, hyphen) if rest else ""))
    elif rest >= 10:
        ways += [f"{en_below_100(century, hyphen)} {en_below_100(rest, hyphen)}"] * 2
    elif rest:
        ways.append(f"{en_below_100(century, hyphen)} oh {EN_ONES[rest]}")
    if year % 1000 < 100 or r.random() < 0.15:
        thousands, rest = divmod(year, 1000)
        tail = en_below_1000(rest, hyphen, joint, "one") if rest else ""
        ways += [f"{EN_ONES[thousands]} thousand" + ((" " if rest >= 100 else joint) + tail if rest else "")] * 2
    return r.choice(ways)


def en_date(r, date):
    n = date.day
    month = EN_MONTHS[date.month - 1]
    short = EN_SHORT[date.month - 1]
    if short and r.random() < 0.35:
        month = r.choice(short) + r.choice(("", "."))
    weekday = EN_DAYS[date.weekday()]
    if r.random() < 0.3:
        weekday = r.choice(EN_DAYS_SHORT[date.weekday()]) + r.choice(("", "."))
    suffix = "th" if 10 < n < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    hyphen = r.choice("--- ")
    if n <= 20:
        word = EN_ORDINALS[n]
    else:
        word = EN_TENS[n // 10] + hyphen + EN_ORDINALS[n % 10] if n % 10 else "thirtieth"
    figure = r.choice((str(n), str(n), f"{n:02}"))
    ordinal = r.choice((f"{n}{suffix}", f"{n}{suffix}", word))
    year = en_year(r, date.year)
    comma = r.choice((", ", " "))
    either = r.choice((figure, ordinal, ordinal))
    way = r.randrange(10)
    if way == 0:
        text = f"{figure} {month}{comma}{year}"
    elif way == 1:
        text = f"{ordinal} {month}{comma}{year}"
    elif way in (2, 3):
        text = f"{r.choice(('the ', ''))}{ordinal} of {month}{comma}{year}"
    elif way in (4, 5):
        text = f"{month} {either}{comma}{year}"
    elif way == 6:
        text = f"{month} the {ordinal}{comma}{year}"
    elif way == 7:
        text = f"{date.year} {month} {figure}" if r.random() < 0.5 else f"{figure}-{month.rstrip('.')}-{date.year}"
    elif way == 8:
        text = f"{r.choice(('the ', ''))}{ordinal} day of {month}{comma}{year}"
    else:
        text = f"{month} {either}, {year}"
    if r.random() < 0.4:
        text = weekday + r.choice((", ", ", ", " ", ", the " if way == 1 else ", ")) + text
    elif r.random() < 0.08:
        text = "on " + text
    return text


# --- French -------------------------------------------------------------------------------------------

FR_ONES = ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
           "dix-huit dix-neuf").split()
FR_TENS = ". . vingt trente quarante cinquante soixante septante huitante nonante".split()
FR_MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()
FR_SHORT = [("janv.", "janv", "jan."), ("févr.", "févr", "fév."), (), ("avr.", "avr"), (), (), ("juil.", "juil"), (),
            ("sept.", "sept"), ("oct.", "oct"), ("nov.", "nov"), ("déc.", "déc")]
FR_DAYS = "lundi mardi mercredi jeudi vendredi samedi dimanche".split()
FR_DAYS_SHORT = ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."]


def fr_below_100(n, swiss, last):
    """`last`: nothing follows, so that quatre-vingts has its s."""
    if n < 20:
        return FR_ONES[n]
    tens, ones = divmod(n, 10)
    if tens in (7, 9) and not swiss:
        tens, ones = tens - 1, ones + 10
    if tens == 8 and not swiss:
        return "quatre-vingt" + ("-" + FR_ONES[ones] if ones else "s" if last else "")
    if ones in (1, 11):
        return f"{FR_TENS[tens]} et {FR_ONES[ones]}"
    return FR_TENS[tens] + ("-" + FR_ONES[ones] if ones else "")


def fr_below_1000(n, swiss, last):
    hundreds, rest = divmod(n, 100)
    words = []
    if hundreds:
        words.append("cent" if hundreds == 1 else
                     FR_ONES[hundreds] + (" cents" if last and not rest else " cent"))
    if rest:
        words.append(fr_below_100(rest, swiss, last))
    return " ".join(words)


def fr_spelling(r, text):
    """With the hyphens of 1990, those of before, or none."""
    way = r.randrange(5)
    if way == 0:
        return text.replace(" ", "-")
    if way == 1:
        return text.replace("-", " ")
    if way == 2:
        return text.replace(" et ", "-et-")
    return text


def fr_number(r, n):
    """One of the ways to say a number."""
    swiss = r.random() < 0.15
    thousands, rest = divmod(n, 1000)
    words = []
    if thousands:
        words.append("mille" if thousands == 1 else fr_below_1000(thousands, swiss, False) + " mille")
    if rest or not thousands:
        words.append(fr_below_1000(rest, swiss, True) if rest else "zéro")
    return fr_spelling(r, " ".join(words))


def fr_year(r, year):
    if r.random() < 0.62:
        return str(year)
    if 1100 <= year < 2000 and r.random() < 0.3:
        century, rest = divmod(year, 100)
        text = FR_ONES[century] + " cent" + (" " + fr_below_100(rest, r.random() < 0.15, True) if rest else "")
        return fr_spelling(r, text)
    text = fr_number(r, year)
    if 1000 < year < 2000 and r.random() < 0.25:
        text = "mil" + text.removeprefix("mille")
    return text


def fr_date(r, date):
    n = date.day
    month = FR_MONTHS[date.month - 1]
    short = FR_SHORT[date.month - 1]
    if short and r.random() < 0.3:
        month = r.choice(short)
    weekday = FR_DAYS[date.weekday()] if r.random() < 0.75 else FR_DAYS_SHORT[date.weekday()]
    words = fr_spelling(r, fr_below_100(n, False, True))
    if n == 1:
        day = r.choice(("1er", "1er", "premier", "1", "01"))
    else:
        day = r.choice((str(n), str(n), f"{n:02}", words, words))
    year = fr_year(r, date.year)
    le = r.choice(("le ", ""))
    with_weekday = r.random() < 0.4
    way = r.randrange(10)
    if way == 0:
        # Day and month in figures only where the words around are French.
        separator = r.choice("/.-")
        figures = r.choice((f"{n:02}{separator}{date.month:02}", f"{n}{separator}{date.month}"))
        text, le = f"{figures}{separator}{date.year}", le if with_weekday else "le "
    elif way == 1:
        text = f"{day} {month} de l{r.choice(chr(39) + '’')}an {year}"
    elif way == 2:
        text = f"{day} du mois {'d’' if month[0] in 'ao' else 'de '}{month} {year}"
    elif way == 3 and n == 1:
        text, le = f"premier jour {'d’' if month[0] in 'ao' else 'de '}{month} {year}", "le "
    else:
        text = f"{day} {month}{r.choice((' ', ' ', ' ', ', '))}{year}"
    if with_weekday:
        text = r.choice((f"{weekday} {text}", f"{le}{weekday} {text}", f"{weekday}, {le}{text}", f"{weekday} {le}{text}"))
    else:
        text = le + text
        if r.random() < 0.04:
            text = "en date du " + text.removeprefix("le ")
    return text


def fr_without_accents(text):
    kept = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return "".join(kept)


# --- Chinese ------------------------------------------------------------------------------------------

ZH_DIGITS = "零一二三四五六七八九"
ZH_FORMAL = str.maketrans("零一二三四五六七八九十百千两", "零壹贰叁肆伍陆柒捌玖拾佰仟贰")
ZH_TRADITIONAL = str.maketrans("两万号礼周贰陆", "兩萬號禮週貳陸")
ZH_FULLWIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def zh_below_10000(n, two, inner):
    """`two`: the word for 2 before 千 and 百; `inner`: a part stands before, so that 10 to 19 begin with 一."""
    text, gap = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = n // unit % 10
        if not digit:
            gap = bool(text)
            continue
        if gap:
            text += "零"
        gap = False
        if name == "十" and digit == 1 and not text and not inner:
            text += name
        else:
            text += (two if digit == 2 and name in ("千", "百") and name else ZH_DIGITS[digit]) + name
    return text


def zh_number(r, n):
    """One of the ways to say a number."""
    two = r.choice("两二")
    high, low = divmod(n, 10_000)
    text = ""
    if high:
        text = (two if high == 2 else zh_below_10000(high, two, False)) + "万"
        if low and low < 1000:
            text += "零"
    if low:
        text += zh_below_10000(low, two, bool(high))
    text = text or "零"
    if r.random() < 0.1:
        return text.translate(ZH_FORMAL)
    return text.replace("零", "〇") if r.random() < 0.15 else text


def zh_small(r, n):
    """A month or a day in characters."""
    if 20 < n < 30 and r.random() < 0.08:
        return "廿" + ZH_DIGITS[n - 20]
    return zh_below_10000(n, "二", False)


def zh_date(r, date):
    characters = r.random() < 0.5
    mixed = r.random() < 0.1
    year = str(date.year)
    if characters:
        year = "".join(ZH_DIGITS[int(c)] for c in year)
        zero = r.choice("零〇〇○")
        year = year.replace("零", zero)
        if r.random() < 0.15:
            year = zh_number(r, date.year)
    if characters and not mixed:
        month, day = zh_small(r, date.month), zh_small(r, date.day)
        if date.month == 1 and r.random() < 0.1:
            month = "元"
    else:
        padded = r.random() < 0.4
        month, day = (f"{date.month:02}", f"{date.day:02}") if padded else (str(date.month), str(date.day))
        if mixed and not characters:
            month, day = zh_small(r, date.month), zh_small(r, date.day)
    gap = " " if r.random() < 0.12 else ""
    end = r.choice("日日号")
    text = gap.join((year, "年", month, "月", day, end))
    if r.random() < 0.08:
        text = r.choice(("公元", "西元")) + text
    if r.random() < 0.4:
        name = r.choice(("星期", "星期", "周", "礼拜"))
        weekday = name + ("一二三四五六" + r.choice("日天"))[date.weekday()]
        if name == "周" and date.weekday() == 6:
            weekday = "周日"
        way = r.randrange(5)
        text = (f"{text} {weekday}", f"{text}{weekday}", f"{text}（{weekday}）", f"{text}，{weekday}",
                f"{weekday}{r.choice(('，', ' ', ''))}{text}")[way]
    if not characters and r.random() < 0.06:
        text = text.translate(ZH_FULLWIDTH)
    if r.random() < 0.15:
        text = text.translate(ZH_TRADITIONAL)
    return text


# --- all ----------------------------------------------------------------------------------------------


def figures_date(r, date):
    """Year first: the only order of figures alone that all three languages read alike."""
    separator = r.choice("-/. ")
    if r.random() < 0.5:
        return f"{date.year}{separator}{date.month:02}{separator}{date.day:02}"
    return f"{date.year}{separator}{date.month}{separator}{date.day}"


NUMBER = {"en": en_number, "fr": fr_number, "zh": zh_number}
DATE = {"en": en_date, "fr": fr_date, "zh": zh_date}


def draw_date(r):
    if r.random() < 0.4:
        year = r.randint(1900, 2050)
    else:
        year = r.randint(FIRST_YEAR, LAST_YEAR)
    month = r.randint(1, 12)
    while True:
        try:
            return datetime.date(year, month, 1 if r.random() < 0.05 else r.randint(1, 31))
        except ValueError:
            pass


def draw_number(r):
    """People say small and round numbers more often than others."""
    way = r.random()
    if way < 0.4:
        return r.randint(0, LARGEST_NUMBER)
    if way < 0.65:
        return int(10 ** r.uniform(0, 6))
    if way < 0.8:
        return r.randint(0, 100)
    zeros = r.randint(1, 5)
    return r.randint(1, min(999, 10 ** (6 - zeros) - 1)) * 10 ** zeros


def draw(r, language):
    """A pair of a text and its figures; one in twenty is a long one."""
    if language != "zh" and r.random() < 0.05:
        least = r.choice((60, 68))
        for _ in range(500):
            text, target = draw_any(r, language)
            if len(text) >= least:
                return text, target
    return draw_any(r, language)


def draw_any(r, language):
    if r.random() < 0.7:
        date = draw_date(r)
        text = (figures_date if r.random() < 0.02 else DATE[language])(r, date)
        target = date.isoformat()
    else:
        number = draw_number(r)
        text, target = NUMBER[language](r, number), str(number)
    if language == "fr" and r.random() < 0.15:
        text = fr_without_accents(text)
    way = r.random()
    if way < 0.25:
        text = text.lower()
    elif way < 0.33:
        text = text.upper()
    elif way < 0.45:
        text = text[:1].upper() + text[1:]
    if r.random() < 0.04:
        text += "。" if language == "zh" else "."
    return text, target


def held_out(seed, count):
    """Pairs for the evaluation: as many of each language; half of them have values that training never sees, the
    other half are texts that it never sees. Round numbers have few texts, which are left to training."""
    r = random.Random(seed)
    pairs, texts = [], set()
    while len(pairs) < count:
        text, target = draw(r, LANGUAGES[len(pairs) % len(LANGUAGES)])
        unseen_value = len(pairs) // len(LANGUAGES) % 2 == 0
        if is_held_out(target) != unseen_value or normalized(text) in texts:
            continue
        if is_round(target):
            continue
        texts.add(normalized(text))
        pairs.append((text, target))
    return pairs


class Training:
    """An endless, seeded sequence of pairs, without the texts and the values that are held out."""

    def __init__(self, seed, held_out):
        self.random = random.Random(seed)
        self.texts = {normalized(text) for text, _ in held_out}

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            text, target = draw(self.random, self.random.choice(LANGUAGES))
            if not is_held_out(target) and normalized(text) not in self.texts:
                return text, target
