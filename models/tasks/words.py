"""The words that the tiny models know, in one fixed order: a checkpoint's embedding rows are these words.

256 first names of three or four letters, the numbers 10 to 99, the words of the stories, and those of the programs.
"""

NAMES: tuple[str, ...] = tuple(
    """
abe ada adi alba alex amir amy ana andy anja ann anna anya art asa ava bart bea ben bob bram cai cal cam cara
cary cass cate chad cleo curt cyd dan dawn deb dee del demi dex dick dirk don dora dot dov drew dyna ebba edie
edna eli elsa emil eric esme etta eva eve ewan fay faye finn flo fox fred gabe gary gene gia gil greg gus guy
hal hank hans hugo ian ida ike ila ina inez iris irma isa ivan ivo ivy jack jake jan jane jay jed jens jess
jim joan joe joel jon jose josh joy juan jude jul june kai kara karl kay ken kent kia kim kit knut koa kurt
kyla kyle lana lara lars lea lee leif lena leo lev lia lil lina liv liz lois lou luca lucy luis luke lulu lyn
mac mae mai mara marc max may meg mel mia mike mila moe mona nan nat ned nia nick nina noa noah ola olaf olga
oli omar oona oren otto owen pam pat peg penn per pia pip pola quy ray reba rena rene rex rhys rick rita rob
rod roma ron rory rosa rose ross roy ruby ruth sal sam sara saul seth shay sid sol sue sven tad taj tara tate
ted tess tia tim tina todd tom tony troy tuva tyra ulf uma una uri uwe val van vic vik wade walt wes will wim
xia yan yuki yves zach zane zara zed zena zia ziva zoe zora
    """.split()
)
NUMBERS: tuple[str, ...] = tuple(str(n) for n in range(10, 100))

# The stories' words, a class a line; `models.tasks.stories` says where each class may stand.
SHE: tuple[str, ...] = tuple("ada anna eve ivy kara lea lucy mia nina rosa ruby zoe".split())
HE: tuple[str, ...] = tuple("ben bob eric finn fred hugo jack leo max otto sam tom".split())
KINDS: tuple[str, ...] = ("girl", "boy")
TRAITS: tuple[str, ...] = tuple("shy brave clever quiet merry young gentle curious polite lively".split())
LOOKS: tuple[str, ...] = tuple(
    "red blue green yellow white black brown big small tiny shiny wooden golden round".split()
)
OBJECTS: tuple[str, ...] = tuple(
    "ball boat kite book drum hat lamp key ring cup doll coin bell basket flute map shell puzzle".split()
)
PLACES: tuple[str, ...] = tuple(
    "lake forest garden park hill river beach farm market mill castle bridge meadow harbour".split()
)
FEELINGS: tuple[str, ...] = tuple("happy glad proud tired calm cheerful pleased busy".split())
WEATHERS: tuple[str, ...] = tuple("sunny windy rainy cold warm foggy".split())
TIMES: tuple[str, ...] = ("day", "morning", "evening")
RELATIVES: tuple[str, ...] = tuple("uncle aunt mother father sister brother".split())
PRONOUNS: tuple[str, ...] = ("he", "she", "him", "her", "his")
GLUE: tuple[str, ...] = tuple(
    """
once there was a named lived near the one found gave had took to then went with carried met at saw friend too liked
asked for wanted hold and they were played all
    """.split()
)
STORY_WORDS: tuple[str, ...] = (
    *(*GLUE, *PRONOUNS, *KINDS, *TRAITS, *LOOKS, *OBJECTS, *PLACES),
    *(*FEELINGS, *WEATHERS, *TIMES, *RELATIVES),
)

# The programs' words: `models.tasks.programs` is their grammar.
DIGITS: tuple[str, ...] = tuple(str(n) for n in range(10))
VARIABLES: tuple[str, ...] = ("x", "y", "z")
LABELS: tuple[str, ...] = tuple(f"l{n}" for n in range(1, 13))
PROGRAM_WORDS: tuple[str, ...] = (
    *(*DIGITS, *VARIABLES, *LABELS),
    *("if", "else", "while", "tab", "run", "=", "+", "-", "<", ">", ":"),
)
