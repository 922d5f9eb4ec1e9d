"""A small set of instructions: capitals, arithmetic, units, Python and cooking, as chat records; and cooking as the target.

python prepare.py    # data/pool.jsonl, data/target.jsonl
"""

import json
from collections.abc import Iterator
from pathlib import Path

CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Egypt": "Cairo",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "Greece": "Athens",
    "India": "New Delhi",
    "Cuba": "Havana",
    "Austria": "Vienna",
    "Ghana": "Accra",
    "Portugal": "Lisbon",
    "Thailand": "Bangkok",
    "Iceland": "Reykjavik",
}
UNITS = {"kilometres": ("metres", 1000), "hours": ("minutes", 60), "kilograms": ("grams", 1000), "days": ("hours", 24)}
PYTHON = {
    "reverse a list": "Call `items[::-1]`, which gives a new list in the opposite order.",
    "read a text file": "Use `Path('file.txt').read_text()` of pathlib, which opens and closes the file.",
    "count words": "Use `collections.Counter(text.split())`, which maps each word to its count.",
    "sort a dictionary by value": "Use `sorted(pairs.items(), key=lambda pair: pair[1])`.",
    "remove duplicates from a list": "Use `list(dict.fromkeys(items))`, which keeps the first of each in order.",
    "join strings": "Use `', '.join(names)`, which puts a comma between the names.",
    "measure time": "Take `time.monotonic()` before and after, and subtract.",
    "parse JSON": "Use `json.loads(text)`, which gives dictionaries and lists.",
}
COOKING = {
    "boil eggs": "Lay the eggs into boiling water for seven minutes, then into cold water so that they peel easily.",
    "cook rice": "Simmer one cup of rice in two cups of salted water under a lid until the water is gone.",
    "make pancakes": "Whisk flour, milk and eggs to a thin batter and fry ladles of it in butter on both sides.",
    "roast potatoes": "Parboil the potatoes, toss them in hot oil with salt and roast them until they are crisp.",
    "make tomato sauce": "Soften onion and garlic in olive oil, add tomatoes and basil and simmer for half an hour.",
    "bake bread": "Knead flour, water, yeast and salt, let the dough rise for an hour and bake it in a hot oven.",
    "fry fish": "Dry the fillets, dust them with flour and fry them skin side down in a hot pan.",
    "make vegetable soup": "Sweat carrots, leek and celery in butter, cover with stock and simmer until soft.",
    "poach pears": "Simmer peeled pears in wine with sugar and cinnamon until a knife goes in easily.",
    "make an omelette": "Stir beaten eggs in foaming butter, and fold them over while the middle is still soft.",
    "bake an apple cake": "Cream butter and sugar, stir in eggs and flour, lay sliced apples on top and bake.",
    "make hummus": "Blend cooked chickpeas with sesame paste, lemon juice, garlic and a little cold water.",
    "steam broccoli": "Steam the florets for four minutes so that they stay green, and dress them with lemon.",
    "make a vinaigrette": "Whisk one part vinegar with mustard and salt, then whisk in three parts of oil.",
    "braise red cabbage": "Stew shredded cabbage with apple, vinegar, cloves and a spoon of sugar for an hour.",
    "grill aubergines": "Salt the slices, dry them, brush them with oil and grill them until they are soft.",
    "make caramel": "Melt sugar in a dry pan until amber, then stir in butter and warm cream.",
    "cook lentils": "Simmer green lentils with a bay leaf for twenty minutes and salt them at the end.",
    "make pizza dough": "Mix flour, water, oil, salt and yeast, knead until smooth and rest it overnight in the cold.",
    "whip cream": "Whisk cold cream in a cold bowl until it holds soft peaks, and sweeten it to taste.",
}
FOR_THE_TARGET = 12


def main(folder: Path) -> None:
    """Write both files."""
    cooking = list(_asked("How do I {}?", COOKING))
    other = [*_asked("What is the capital of {}?", {land: f"It is {city}." for land, city in CAPITALS.items()})]
    other += _asked("How can I {} in Python?", PYTHON)
    other += [
        _record(f"What is {a} times {b}?", f"{a} times {b} is {a * b}.")
        for a in range(3, 13, 2)
        for b in range(4, 20, 3)
    ]
    other += [
        _record(f"How many {small} are {count} {large}?", f"{count} {large} are {count * each} {small}.")
        for large, (small, each) in UNITS.items()
        for count in range(2, 9)
    ]
    folder.mkdir(exist_ok=True)
    for name, records in (("pool", [*other, *cooking[FOR_THE_TARGET:]]), ("target", cooking[:FOR_THE_TARGET])):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _asked(question: str, answers: dict[str, str]) -> Iterator[dict[str, object]]:
    return (_record(question.format(about), answer) for about, answer in answers.items())


def _record(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


if __name__ == "__main__":
    main(Path("data"))
