"""Words that sound alike or are taken for each other: written down by us for the queries of shops."""

from functools import cache

# one group a line; every word may stand for every other of its line
TABLE = """
accept except
adapter adaptor
advice advise
affect effect
aid aide
air heir
aisle isle
allowed aloud
altar alter
angel angle
ant aunt
ate eight
bail bale
ball bawl
band banned
bare bear
baron barren
base bass
bazaar bizarre
beach beech
bean been
beat beet
beer bier
bell belle
berry bury
berth birth
bight bite byte
billed build
blew blue
board bored
boarder border
bolder boulder
boos booze
born borne
bough bow
boy buoy
brake break
braid brayed
bread bred
breath breathe
brews bruise
bridal bridle
broach brooch
bur burr
but butt
buy by bye
calendar calender colander
canvas canvass
capital capitol
carat carrot karat caret
cash cache
cast caste
caster castor
ceiling sealing
cell sell
cellar seller
censor sensor
cent scent sent
cents scents sense
cereal serial
chased chaste
cheap cheep
chews choose
chic sheik
chili chilly chile
choral coral
chord cord cored
chute shoot
cite sight site
clause claws
clique click
cloth clothe
clothes close cloths
coal kohl
coarse course
coat cote
cocoa coco
colonel kernel
comb combe
complement compliment
coop coupe
core corps
costume custom
council counsel
crape crepe
creak creek
crews cruise cruse
cue queue
currant current
curser cursor
cymbal symbol
dam damn
days daze
dear deer
desert dessert
device devise
dew do due
die dye
diner dinner
disc disk
doe dough
draft draught
dual duel
duct duck
dyeing dying
earn urn
envelop envelope
ewe you yew
eye aye
fair fare
farther further
fate fete
faun fawn
feat feet
fir fur
flair flare
flea flee
flecks flex
flew flu flue
floe flow
flour flower
for four fore
foreword forward
formally formerly
forth fourth
foul fowl
frays phrase
freeze frieze
frier fryer
gage gauge
gait gate
gilt guilt
gnome nome
gorilla guerrilla
grate great
grater greater
grill grille
grip gripe
guest guessed
hail hale
hair hare
hall haul
hangar hanger
hart heart
hay hey
heal heel
hear here
heard herd
heroin heroine
hi high
hoard horde
hoes hose
hole whole
holey holy wholly
hour our
idle idol
in inn
its it's
jam jamb
jell gel
jewel joule
key quay
knead need
knight night
knit nit
knob nob
knot not
lacks lax
lam lamb
lane lain
lattes lattice
lead led
leak leek
lean lien
leased least
leaver lever
lens lense
lessen lesson
liar lyre
licence license
lightening lightning
links lynx
load lode
loan lone
loose lose
loot lute
lumbar lumber
made maid
mail male
main mane
maize maze
mall maul
manner manor
mantel mantle
marshal martial
mat matte
mean mien
meat meet mete
medal metal meddle mettle
might mite
mince mints
mind mined
miner minor
moat mote
mode mowed
moose mousse
morning mourning
muscle mussel
mustard mustered
naval navel
nose knows
none nun
oar ore or
one won
overdo overdue
packed pact
pail pale
pain pane
pair pare pear
palate palette pallet
passed past
patience patients
pause paws
peace piece
peak peek pique
peal peel
pedal peddle petal
peer pier
personal personnel
picture pitcher
pistil pistol
place plaice
plain plane
planter plantar
pleas please
plum plumb
pole poll
poor pore pour
pray prey
presence presents
principal principle
prints prince
profit prophet
quarts quartz
quiet quite
rack wrack
rain reign rein
raise rays raze
rap wrap
rapped rapt wrapped
raw roar
read reed
read red
real reel
reek wreak
rest wrest
right rite write
ring wring
road rode rowed
roe row
role roll
root route
rose rows
rote wrote
rough ruff
rung wrung
rye wry
sail sale
sauce source
saver savour
scull skull
sea see
seam seem
seas sees seize
serf surf
serge surge
sew so sow
shake sheikh
shear sheer
shelf shelve
shoe shoo
shone shown
side sighed
sink sync zinc
slay sleigh
sleave sleeve
sleight slight
soar sore
soared sword
sole soul
some sum
son sun
spade spayed
staid stayed
stair stare
stake steak
stationary stationery
steal steel
step steppe
stile style
storey story
straight strait
suede swayed
suite sweet
sundae sunday
tacks tax
tail tale
taper tapir
tare tear
taut taught
tea tee
team teem
tents tense
than then
their there they're
thrash thresh
threw through thru
throne thrown
thyme time
tic tick
tide tied
tire tyre
to too two
toad towed toed
toe tow
tool tulle
trey tray
troop troupe
trussed trust
vain vane vein
vale veil
vary very
vial vile
wade weighed
waist waste
wait weight
waive wave
walk wok
ware wear where
warn worn
way weigh whey
weak week
weather whether
weave we've
weld welled
wheal wheel
whine wine
whirled world
white wight
wood would
wrist rest
yoke yolk
your you're
"""


@cache
def homophones() -> dict[str, tuple[str, ...]]:
    """Each word of the table and the words it may be replaced by, in the order of the table."""
    found: dict[str, dict[str, None]] = {}
    for line in TABLE.strip().splitlines():
        group = line.split()
        for word in group:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in group if other != word))
    return {word: tuple(others) for word, others in found.items()}
