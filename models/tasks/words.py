"""The words that the tiny models know: 256 first names of three or four letters and the numbers 10 to 99."""

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
