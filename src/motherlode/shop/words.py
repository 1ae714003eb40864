"""The words of the generated shop: plain text tables, read by `assortment`.

LEAVES: path | nouns (the first is the usual one, `*` marks one without plural) | attributes | complements (by usual noun).
A hard attribute stands first, the one that variants differ in stands last.
ATTRIBUTES: name kind: values in order, each with its other spellings after `/`.
"""
# ruff: noqa: E501 (a row of a table is one line)

ATTRIBUTES = """
colour soft: black, white, grey/gray/charcoal, navy/dark blue, beige/sand, red/crimson, green/sage, pink/blush, yellow/mustard, brown/chestnut, teal/turquoise, purple/plum
upholstery soft: velvet, leather/genuine leather, linen/linen blend, corduroy/cord, boucle, polyester
timber soft: oak/solid oak, pine, walnut, bamboo, beech, mango wood
fabric soft: cotton/100% cotton, wool/merino, fleece, denim, silk/satin, jersey, viscose
metal soft: stainless steel/SS/inox, cast iron, copper, aluminium/alu, carbon steel, enamel
tableware soft: porcelain/china, stoneware, glass/clear glass, ceramic, melamine
room soft: bedroom, kitchen, bathroom, hallway, nursery
scent soft: lavender, citrus/lemon, rose, coconut, eucalyptus, unscented/fragrance free
flavour soft: vanilla, strawberry, hazelnut, salted caramel, original/classic, raspberry, banana
filling soft: chicken, beef, salmon, turkey, lamb, tuna
skin soft: dry skin, oily skin, sensitive skin, mature skin, normal skin
pattern soft: striped/stripe, floral/flower print, plain/solid colour, checked/tartan, polka dot, geometric
fit soft: slim fit/skinny, regular fit, relaxed fit/loose fit, tailored, oversized/oversize
theme soft: dinosaur, space, unicorn, farm animals, pirate, ocean
ruling soft: lined/ruled, dotted/dot grid, squared/graph, blank/unruled
grade soft: beginner, intermediate, professional/pro, competition
wireless soft: wired, bluetooth/wireless, usb-c, infrared
roast soft: dark roast, medium roast, light roast, decaf/decaffeinated, espresso roast
size ordered: extra small/XS, small/S, medium/M, large/L, extra large/XL, double extra large/XXL
shoe ordered: size 3/UK 3, size 4/UK 4, size 5/UK 5, size 6/UK 6, size 7/UK 7, size 8/UK 8, size 9/UK 9, size 10/UK 10, size 11/UK 11
bed ordered: single/90 cm, small double/120 cm, double/135 cm, king/king size/150 cm, super king/180 cm
seats ordered: 1 seater/one seater, 2 seater/two seater, 3 seater/three seater, 4 seater/four seater, 6 seater/six seater
volume ordered: 250 ml/250ml, 500 ml/500ml/half litre, 1 litre/1L, 1.5 litre/1.5L, 2 litre/2L, 5 litre/5L
tube ordered: 30 ml/30ml, 50 ml/50ml, 75 ml/75ml, 150 ml/150ml, 400 ml/400ml
weight ordered: 100 g/100g, 250 g/250g, 500 g/500g, 1 kg/1kg, 2 kg/2kg, 5 kg/5kg, 10 kg/10kg
pack ordered: pack of 2/2 pk, pack of 4/4 pk, pack of 6/6 pk, pack of 10/10 pk, pack of 20/20 pk, pack of 50/50 pk
diameter ordered: 16 cm/16cm, 20 cm/20cm, 24 cm/24cm, 28 cm/28cm, 32 cm/32cm
length ordered: 1 m/1m, 2 m/2m, 3 m/3m, 5 m/5m, 10 m/10m, 15 m/15m
storage ordered: 32 GB/32GB, 64 GB/64GB, 128 GB/128GB, 256 GB/256GB, 512 GB/512GB, 1 TB/1TB
screen ordered: 13 inch/13in, 15 inch/15in, 24 inch/24in, 27 inch/27in, 32 inch/32in, 43 inch/43in, 55 inch/55in
power ordered: 400 W/400W, 650 W/650W, 900 W/900W, 1200 W/1200W, 2000 W/2000W, 3000 W/3000W
voltage hard: 12 V/12V, 18 V/18V, 36 V/36V, 240 V/mains/corded
age ordered: 0-6 months/newborn, 6-12 months, 1-2 years/toddler, 3-5 years, 6-8 years, 9-12 years
pieces ordered: 50 piece/50 pc, 100 piece/100 pc, 250 piece/250 pc, 500 piece/500 pc, 1000 piece/1000 pc, 2000 piece/2000 pc
people ordered: 1 person/1 man, 2 person/2 man, 3 person/3 man, 4 person/4 man, 6 person/6 man
warmth ordered: 2 tog, 4.5 tog, 7 tog, 10.5 tog, 13.5 tog
spf ordered: SPF 15/SPF15, SPF 20/SPF20, SPF 30/SPF30, SPF 50/SPF50, SPF 70/SPF70
diet hard: vegan/plant based, gluten free/GF, dairy free/lactose free, sugar free/no added sugar, nut free
phone hard: Orbit 5, Orbit 6, Orbit 6 Max, Pico X2, Pico X3, Lumen 10, Lumen 11 Pro
printer hard: Inkra 200, Inkra 310, Jetline 40, Jetline 55, Colormax 8
socket hard: E27/ES screw cap, B22/bayonet cap, GU10, E14/small screw cap
capsule hard: Baristo, Cremia, Pronto Duo, Vivace
lifestage hard: puppy/junior, adult, senior/mature 7+, all life stages
"""

LEAVES = """
Home > Living Room > Sofas | sofa, couch, settee | upholstery colour seats | cushion, throw
Home > Living Room > Armchairs | armchair, accent chair, lounge chair | upholstery colour | footstool, cushion
Home > Living Room > Footstools | footstool, pouffe, ottoman | upholstery colour | armchair
Home > Living Room > Coffee Tables | coffee table, cocktail table, low table | timber size | rug
Home > Living Room > TV Stands | TV stand, media unit, television cabinet | timber size | television
Home > Living Room > Bookcases | bookcase, bookshelf, shelving unit | timber size |
Home > Dining Room > Dining Tables | dining table, kitchen table | timber seats | dining chair, dinner plate
Home > Dining Room > Dining Chairs | dining chair, kitchen chair, side chair | timber colour | dining table
Home > Bedroom > Bed Frames | bed frame, bedstead | timber bed | mattress, bedside table
Home > Bedroom > Mattresses | mattress, pocket sprung mattress | colour bed | bed frame, pillow
Home > Bedroom > Wardrobes | wardrobe, armoire, clothes cupboard | timber size |
Home > Bedroom > Bedside Tables | bedside table, nightstand, night table | timber colour | table lamp
Home > Bedroom > Bedding > Duvets | duvet, quilt, comforter | warmth bed | duvet cover, pillow
Home > Bedroom > Bedding > Duvet Covers | duvet cover, quilt cover, bedding set | fabric pattern bed | duvet, pillow
Home > Bedroom > Bedding > Pillows | pillow, bed pillow | fabric pack | duvet
Home > Soft Furnishings > Cushions | cushion, scatter cushion, throw pillow | upholstery pattern colour | throw
Home > Soft Furnishings > Throws | throw, blanket, sofa blanket | fabric colour | cushion
Home > Soft Furnishings > Curtains | curtain, drape, window panel | fabric pattern colour |
Home > Soft Furnishings > Rugs | rug, carpet, floor mat | pattern colour size |
Home > Lighting > Table Lamps | table lamp, desk lamp, reading light | metal colour | light bulb
Home > Lighting > Floor Lamps | floor lamp, standing lamp, uplighter | metal colour | light bulb
Home > Lighting > Light Bulbs | light bulb, LED bulb | socket pack | table lamp, floor lamp
Home > Mirrors | mirror, looking glass | room size |
Kitchen > Cookware > Frying Pans | frying pan, skillet, frypan | metal colour diameter | saucepan, spatula
Kitchen > Cookware > Saucepans | saucepan, cooking pot | metal volume | frying pan
Kitchen > Cookware > Woks | wok, stir fry pan | metal diameter | spatula
Kitchen > Utensils > Spatulas | spatula, turner, fish slice | metal colour | frying pan
Kitchen > Utensils > Kitchen Knives | kitchen knife, chef knife, cook's knife | metal pack | chopping board
Kitchen > Utensils > Chopping Boards | chopping board, cutting board | timber size | kitchen knife
Kitchen > Appliances > Kettles | kettle, electric kettle, water boiler | metal colour volume | toaster, mug
Kitchen > Appliances > Toasters | toaster, bread toaster | colour power | kettle
Kitchen > Appliances > Blenders | blender, smoothie maker, liquidiser | colour power | water bottle
Kitchen > Appliances > Coffee Machines | coffee machine, coffee maker | capsule colour volume | coffee capsule, mug
Kitchen > Coffee Capsules | coffee capsule, coffee pod | capsule roast pack | coffee machine
Kitchen > Tableware > Mugs | mug, coffee cup, beaker | tableware colour volume | coffee beans
Kitchen > Tableware > Dinner Plates | dinner plate, dining plate | tableware colour diameter | mug
Kitchen > Tableware > Bowls | bowl, serving dish | tableware colour diameter | dinner plate
Kitchen > Storage > Food Containers | food container, storage box, lunch box | colour volume |
Kitchen > Storage > Water Bottles | water bottle, drinks flask, canteen | metal colour volume |
Electronics > Phones > Mobile Phones | mobile phone, smartphone, cell phone | phone colour storage | phone case, screen protector, phone charger
Electronics > Phones > Accessories > Phone Cases | phone case, phone cover, phone shell | phone colour | screen protector, mobile phone
Electronics > Phones > Accessories > Screen Protectors | screen protector, tempered glass film | phone pack | phone case
Electronics > Phones > Accessories > Phone Chargers | phone charger, charging plug, power adapter | wireless colour length | mobile phone
Electronics > Audio > Headphones | headphones*, over ear headset, cans* | wireless colour |
Electronics > Audio > Earbuds | earbuds*, in ear headphones*, earphones* | wireless colour |
Electronics > Audio > Speakers | speaker, loudspeaker, sound box | wireless colour size |
Electronics > Televisions | television, TV, flat screen | colour screen | TV stand
Electronics > Computers > Laptops | laptop, notebook computer | storage colour screen | laptop bag, computer mouse
Electronics > Computers > Monitors | monitor, computer display | colour screen | keyboard
Electronics > Computers > Accessories > Laptop Bags | laptop bag, computer sleeve, laptop case | upholstery colour screen | laptop
Electronics > Computers > Accessories > Keyboards | keyboard, PC keypad | wireless colour | computer mouse
Electronics > Computers > Accessories > Mice | computer mouse, PC mouse | wireless colour | keyboard
Electronics > Memory Cards | memory card, micro SD card, flash card | pack storage |
Electronics > Printing > Printers | printer, inkjet printer | printer colour | ink cartridge
Electronics > Printing > Ink Cartridges | ink cartridge, printer ink*, ink refill | printer pack | printer
Clothing > Tops > T-Shirts | t-shirt, tee, crew neck top | fabric colour size | jeans
Clothing > Tops > Shirts | shirt, button down, dress shirt | fit pattern size | trousers
Clothing > Tops > Jumpers | jumper, sweater, pullover | fabric colour size | shirt
Clothing > Tops > Hoodies | hoodie, hooded sweatshirt, hoody* | fit colour size | joggers
Clothing > Bottoms > Jeans | jeans*, denims* | fit colour size | t-shirt
Clothing > Bottoms > Trousers | trousers*, chinos*, slacks* | fit colour size | shirt
Clothing > Bottoms > Joggers | joggers*, tracksuit bottoms*, sweatpants* | fit colour size | hoodie
Clothing > Bottoms > Skirts | skirt, midi skirt | fabric pattern size | t-shirt
Clothing > Dresses | dress, frock, gown | fabric pattern size | sandal
Clothing > Outerwear > Coats | coat, overcoat, parka | fabric colour size | scarf
Clothing > Outerwear > Rain Jackets | rain jacket, waterproof coat, raincoat, mac | fit colour size | wellington boot
Clothing > Accessories > Scarves | scarf, neck wrap | fabric colour | woolly hat
Clothing > Accessories > Woolly Hats | woolly hat, beanie, knitted cap | fabric colour | scarf
Clothing > Accessories > Gloves | gloves*, mittens* | fabric colour size | scarf
Clothing > Accessories > Socks | socks*, ankle socks* | pattern pack | trainers
Clothing > Shoes > Trainers | trainers*, sneakers*, running shoes* | fit colour shoe | socks
Clothing > Shoes > Wellington Boots | wellington boot, welly*, rain boot | pattern colour shoe | socks
Clothing > Shoes > Sandals | sandal, flip flop, slider | upholstery colour shoe |
Beauty > Hair > Shampoo | shampoo, hair wash* | scent volume | conditioner
Beauty > Hair > Conditioner | conditioner, hair rinse | scent volume | shampoo
Beauty > Skin > Face Creams | face cream, facial moisturiser, day cream | scent skin tube | cleanser
Beauty > Skin > Cleansers | cleanser, face wash* | skin tube | face cream
Beauty > Skin > Sun Cream | sun cream, sunscreen, sun lotion | skin tube spf |
Beauty > Bath > Shower Gel | shower gel, body wash* | scent volume | bath towel
Beauty > Bath > Hand Soap | hand soap, liquid soap | scent pack |
Beauty > Bath > Bath Towels | bath towel, bath sheet | fabric size colour | shower gel
Grocery > Drinks > Coffee Beans | coffee beans*, whole bean coffee* | roast weight | mug
Grocery > Drinks > Tea | tea bags*, tea* | flavour pack | biscuit, plant milk
Grocery > Drinks > Plant Milk | plant milk*, oat drink, almond milk* | diet flavour volume | breakfast cereal
Grocery > Snacks > Biscuits | biscuit, cookie | diet flavour weight | tea bags
Grocery > Snacks > Crisps | crisps*, potato chips* | diet weight |
Grocery > Snacks > Chocolate | chocolate bar, choc block | diet flavour weight | biscuit
Grocery > Breakfast > Cereal | breakfast cereal, muesli*, granola* | diet flavour weight | plant milk
Grocery > Pantry > Pasta | pasta*, penne*, fusilli* | diet weight | pasta sauce
Grocery > Pantry > Pasta Sauce | pasta sauce, pesto*, tomato sauce | diet volume | pasta
Grocery > Frozen > Burgers | burger, burger patty* | diet filling pack | burger bun
Grocery > Frozen > Ice Cream | ice cream, gelato*, frozen dessert | diet flavour volume |
Grocery > Bakery > Burger Buns | burger bun, bread roll | diet pack | burger
Pets > Dogs > Dog Food | dog food*, dog kibble* | lifestage filling weight | dog bowl, dog treats
Pets > Dogs > Dog Treats | dog treats*, dog chews* | lifestage filling weight | dog food
Pets > Dogs > Dog Beds | dog bed, pet basket | upholstery colour size | dog bowl
Pets > Dogs > Dog Bowls | dog bowl, pet feeder | metal colour volume | dog food
Pets > Dogs > Leads | dog lead, dog leash | upholstery colour length | dog collar
Pets > Dogs > Collars | dog collar, neck strap | upholstery colour size | dog lead
Pets > Cats > Cat Food | cat food*, cat kibble* | lifestage filling weight | cat litter
Pets > Cats > Cat Litter | cat litter*, litter sand* | scent weight | cat food
Sport > Fitness > Yoga Mats | yoga mat, exercise mat, pilates mat | grade colour | dumbbell
Sport > Fitness > Dumbbells | dumbbell, hand weight, free weight | colour weight | yoga mat
Sport > Camping > Tents | tent, camping shelter | grade colour people | sleeping bag
Sport > Camping > Sleeping Bags | sleeping bag, camping quilt | colour size | tent
Sport > Camping > Rucksacks | rucksack, backpack, daypack | grade colour size | water bottle
Sport > Cycling > Bikes | bicycle, bike, push bike | grade colour size | bike helmet
Sport > Cycling > Helmets | bike helmet, cycling helmet | grade colour size | bicycle
Sport > Rackets > Tennis Rackets | tennis racket, tennis racquet | colour grade | tennis balls
Sport > Rackets > Tennis Balls | tennis balls* | grade pack | tennis racket
Garden > Power Tools > Drills | drill, drill driver | voltage power | drill bits
Garden > Power Tools > Hedge Trimmers | hedge trimmer, hedge cutter | voltage power | work gloves
Garden > Power Tools > Lawnmowers | lawnmower, grass cutter, mower | voltage power | hedge trimmer
Garden > Hand Tools > Drill Bits | drill bits*, twist bits* | metal pack | drill
Garden > Hand Tools > Work Gloves | work gloves*, gardening gloves* | fabric size |
Garden > Decorating > Wall Paint | wall paint, emulsion | room volume colour | paintbrush
Garden > Decorating > Paintbrushes | paintbrush, decorating brush | timber pack | wall paint
Garden > Plants > Plant Pots | plant pot, planter, flowerpot | tableware colour diameter | compost
Garden > Plants > Compost | compost*, potting soil* | grade weight | plant pot
Garden > Watering > Hoses | garden hose, hosepipe | colour length | plant pot
Baby > Feeding > Baby Bottles | baby bottle, feeding bottle | age volume | bottle warmer
Baby > Feeding > Bottle Warmers | bottle warmer, milk heater | colour power | baby bottle
Baby > Changing > Nappies | nappy*, diaper | age pack | baby wipes
Baby > Changing > Baby Wipes | baby wipes*, wet wipes* | scent pack | nappy
Baby > Travel > Prams | pram, pushchair, stroller, buggy* | colour age |
Toys > Building Blocks | building blocks*, construction set | theme age pieces |
Toys > Jigsaws | jigsaw, jigsaw puzzle | theme pieces |
Toys > Soft Toys | soft toy, plush, cuddly toy | theme size |
Toys > Costumes | fancy dress costume, dressing up outfit | theme age |
Office > Paper > Notebooks | notebook, journal, exercise book | ruling colour pack | fountain pen
Office > Writing > Fountain Pens | fountain pen, ink pen | metal colour | notebook
Office > Furniture > Desks | desk, writing table, workstation | timber colour size | office chair
Office > Furniture > Office Chairs | office chair, swivel chair, desk chair | upholstery colour | desk
"""

BRANDS = """
Home: Alderhome, Norvik, Hearth & Hay, Casa Lume, Fennel Row, Brookfold, Oakmere, Stilla, Maison Reve, Tidewell, Larkspur, Hollin
Kitchen: Cuivra, Potter & Pine, Kettleby, Brasero, Tavola, Simmerly, Ferrocook, Whiskwell, Morsel, Granita
Electronics: Voltane, Nimbic, Auralis, Quanta One, Pixelry, Teklon, Soniq, Corvex, Hexadyne, Lumitek, Zentry, Omnio
Clothing: Harrow Lane, Bluestone, Fjordwear, Marlowe, Threadneedle & Co, Urbana, Kestrel, Pennyroyal, Sable, Northline, Cobalt Club, Wrenfield
Beauty: Aurelle, Botanica Nord, Pureleaf, Dew & Co, Mirelle, Saltwater, Clarisse, Velours, Hydra Lab
Grocery: Green Acre, Nonna Pia, Millstone, Daybreak, Harvest Moon, Tuckbox, Bonheur, Plantful, Copper Kettle, Goodgrain
Pets: Wagsworth, Pawtner, Barkley, Whiskers & Co, Tailwind Pets, Furfolk, Nuzzle
Sport: Summitry, Velotek, Apex Trail, Stride, Peloria, Ironvale, Wildcamp, Courtside, Hydrus
Garden: Boltwright, Greenspade, Torqueline, Hedgerow, Steelhand, Brushmark, Loam & Leaf, Gardenmoor
Baby: Little Wren, Bumblefoot, Tinykin, Cradlewise, Moonbeam, Pipkin
Toys: Playforge, Tumbletop, Wonderbox, Jollyjack, Brickadoo, Puzzlewick
Office: Quillmark, Paperline, Deskwright, Inkwell, Foliot, Staplecross, Ergonia
"""

SERIES = """
Aurora Atlas Breeze Cascade Cedar Comet Delta Dune Echo Ember Falcon Fern Flint Harbour Haven Indigo Iris Juniper
Lagoon Linden Luna Meadow Meridian Mistral Nova Onyx Opal Orion Pebble Phoenix Prism Quartz Raven Ridge Saffron
Sierra Solace Sterling Summit Terra Tempo Tundra Vega Vista Willow Zenith Zephyr
"""

MODELS = "AX BK CR DT EV FX GL HZ KX LM MR NT PX QR RS SV TX VR WX ZT"

TITLE_NOISE = """
premium, new, best seller, limited edition, high quality, gift idea, easy care, everyday essential, top rated, eco,
value range, special offer, free delivery, modern design, 2 year guarantee, great for gifts, new season, heavy duty
"""

QUERY_NOISE = "cheap, best, buy, good quality, discount, affordable"

SENTENCES = """
Made to last and simple to look after.
A favourite with our customers.
Carefully checked before it leaves our warehouse.
Good value without cutting corners.
Designed by a small team and tested at home.
Arrives in recyclable packaging.
"""
