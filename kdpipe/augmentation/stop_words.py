"""English words that carry grammar rather than meaning; a text without them would not stay a text."""

ARTICLES = "a an the"
PRONOUNS = """
i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
we us our ours ourselves they them their theirs themselves one ones oneself this that these those
who whom whose which what whoever whatever whichever
some any no none all both each every either neither another other others such much many more most few fewer
less least several enough own same
someone somebody something anyone anybody anything everyone everybody everything nobody nothing
"""
AUXILIARIES = """
be am is are was were been being have has had having do does did doing done
can could may might must shall should will would ought need dare cannot
"""
PREPOSITIONS = """
about above across after against along among around as at before behind below beneath beside besides between
beyond by despite down during except for from in inside into like near of off on onto out outside over past
per since through throughout till to toward towards under underneath until up upon via with within without
"""
CONJUNCTIONS = "and but or nor so yet if unless because while whereas although though than whether"
ADVERBS = """
not never ever always often again once twice then there here where when why how now just only also too very
quite rather almost even still already perhaps however therefore thus hence else further later soon
"""
STOP_WORDS = frozenset(
    " ".join((ARTICLES, PRONOUNS, AUXILIARIES, PREPOSITIONS, CONJUNCTIONS, ADVERBS)).split()
)
