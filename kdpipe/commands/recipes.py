"""The kinds of configs that `kdpipe new` writes."""

# Each with what it makes, and the name of a file where none is given.
RECIPES = {
    "language-modeling": ("a small model of masked words from texts, as DistilBERT was made", "texts.txt"),
    "pair-classification": (
        "a small classifier of pairs of texts, from a table of pairs and labels",
        "pairs.csv",
    ),
    "pair-regression": (
        "a small model that scores pairs of texts, from a table of pairs and numbers",
        "pairs.csv",
    ),
    "question-answering": ("a small model that finds answers in contexts", "questions.json"),
    "text-classification": ("a small classifier of texts, from a table of texts and labels", "reviews.csv"),
    "text-regression": ("a small model that scores texts, from a table of texts and numbers", "ratings.csv"),
    "token-classification": ("a small tagger of words, from words with tags", "words.conll"),
}
# What the names of recipes begin with that read a table; their task follows.
TEXTS, PAIRS = "text-", "pair-"


def known_recipes() -> dict[str, str]:
    """Return the recipes, each with what it makes."""
    return {name: meaning for name, (meaning, _) in RECIPES.items()}
