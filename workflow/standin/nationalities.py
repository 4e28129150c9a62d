"""What distinguishes the stand-in's 21 nationalities: invented words and number formats.

All names and places are combined from the stems and forms below; none comes from the API. The
formats, identity numbers and quirks of each nationality are the API's.
One difference is on purpose: RandomUser writes Indian and Ukrainian names and Serbian places
in Latin letters. Here they come in their own scripts, which is the harder test.

Words: every stem goes into every form, where `{}` stands for it; `|` separates forms.
Numbers: `#` is a digit, `$` a digit but 0, `@` a capital letter, all else stands for itself;
`|` separates forms of the head, `/` the head from the tail.
"""

# ruff: noqa: RUF001 - letters of other scripts are what this file is about

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Nationality:
    """One nationality. `postcode` is JSON: with quotes it is a string, else an int."""

    code: str
    country: str
    first: str
    male: str
    female: str
    family: str
    families: str
    place: str
    streets: str
    cities: str
    states: str
    postcode: str
    phone: str
    cell: str
    id_name: str = ""
    id_value: str = ""
    men: tuple[str, ...] = ("Mr",)
    women: tuple[str, ...] = ("Miss", "Mrs", "Ms")


# fmt: off
NATIONALITIES = (
    Nationality(
        code="AU", country="Australia", id_name="TFN", id_value="$####/####",
        first="Bren Cald Darr Emm Fenn Gool Jarr Kell Marr Warr",
        male="{}an|{}ick|{}o|{}en|{}us", female="{}a|{}ie|{}elle|{}yn|{}is",
        family="Ash Bell Cob Dun Elm Fair Gum Hart Kil Lang Mur Nar Oak Pell Quin Rook Tar Wool",
        families="{}ridge|{}wick|{}ner|{}combe|{}stead|{}low",
        place="Arra Billa Corro Dinga Euro Goona Kara Mulla Narra Toora Warra Yara",
        streets="{} Street|{} Parade|{} Creek Road|{} Lane",
        cities="{}bong|Port {}|{} Springs|{}dale", states="{} Coast|Upper {}",
        postcode="$#|$#|$#|$#|$#|$#|$#|$#|$#|$#|$#|$#|$#|8/##", phone="0#-##/##-####",
        cell="04##-/###-###",
    ),
    Nationality(
        code="BR", country="Brazil", id_name="CPF", id_value="###.###/.###-##",
        first="Adal Belm Cael Dorv Evan Fael Janir Lauren Marc Talm",
        male="{}io|{}ino|{}o|{}ísio|{}eu", female="{}ia|{}ina|{}a|{}ísia|{}é",
        family="Alm Barr Carv Dorn Esp Fal Gouv Lour Mach Nev Olim Pad Quar Rams Sald Torr Urb Vid",
        families="{}ão|{}eira|{}inho|da {}osa|dos {}ões|{}élia",
        place="Araxu Bonita Cairu Guará Ipora Jandá Morena Paraí Taquá Ubira Vaca Xingó",
        streets="Rua {}|Avenida {}|Travessa {}|Rua São {}",
        cities="{} do Sul|Nova {}|{}pólis|{} das Flores", states="{} do Norte|Alto {}",
        postcode="$##/##", phone="($#) ##/##-####", cell="($#) 9#/##-####",
    ),
    Nationality(
        code="CA", country="Canada", id_name="SIN", id_value="$####/####",
        first="Ald Beck Cory Dav Elli Fraz Jonq Lav Maur Noel",
        male="{}an|{}in|{}er|{}on|{}é", female="{}a|{}ine|{}ette|{}ie|{}ane",
        family="Aub Beaul Chab Dub Fort Gagl Hath Jol Kirk Lap Mack Nad Oul Per Rous Sav Tham Vall",
        families="{}ois|{}ard|{}ette|{}son|{}-Martel|{}eau",
        place="Alder Birch Cedar Drake Elgin Fundy Huron Lynx Moose Otter Pine Tamar",
        streets="{} Street|{} Road|Rue {}|{} Concession",
        cities="{}ville|Saint-{}|{} Harbour|Lac-{}", states="{} Territory|New {}",
        postcode='"@#@ /#@#"', phone="@## @#/#-####", cell="@## @#/#-####",
    ),
    Nationality(
        code="CH", country="Switzerland", id_name="AVS", id_value="756.####/.####.##",
        men=("Monsieur",), women=("Madame", "Mademoiselle"),
        first="Alb Bett Corn Dam Euph Flor Lind Marc Noël Sév",
        male="{}in|{}on|{}ier|{}ert|{}us", female="{}ine|{}onne|{}ie|{}erte|{}a",
        family="Aeb Berg Cland Duf Egg Fav Gyg Hoch Jacc Küng Lüth Mor Nyd Oeg Péc Roch Stämpf Zür",
        families="{}er|{}od|{}li|{}oz|{}mann|{}acher",
        place="Arvel Brünn Corval Dorné Eschen Flüel Grandv Lüss Mont Orbel Rüti Vallor",
        streets="Rue de {}|Chemin de {}|{}weg|{}strasse",
        cities="{}ens|{}wil|Saint-{}|{} an der Aa", states="{}gau|{}ois",
        postcode="$#/##", phone="07# ##/# ## ##", cell="07# ##/# ## ##",
    ),
    Nationality(
        code="DE", country="Germany", id_name="SVNR", id_value="$# ####/## @ ###",
        first="Adel Bert Diet Ekk Ger Hans-J. Karl-H Lor Sieg Wald",
        male="{}ar|{}holm|{}rich|{}win|{}fried", female="{}inde|{}hild|{}a|{}trud|{}lotte",
        family="Alt Berg Dorn Eich Feld Grün Hain Kalt Lind "
               "Mühl Nuss Ober Rot Schön Tann Über Wies Zieg",
        families="{}mann|{}hofer|{}bach|{}stein|von {}|{}wald",
        place="Ahl Birk Drei Erl Föhr Grau Hohl König Lütt Moos Schöps Weiß",
        streets="{}straße|{}weg|Am {}berg|An der {}mühle",
        cities="{}hausen|{}stedt an der Ohm|Bad {}au|{}brück", states="{}land|Nieder-{}",
        postcode="$##/##", phone="0###-##/#####", cell="017#-##/#####",
    ),
    Nationality(
        code="DK", country="Denmark", id_name="CPR", id_value="######/-####",
        first="And Bir Cael Dag Esk Freder Gus Hal Mal Søl",
        male="{}e|{}ik|{}ar|{}bjørn|{}vin", female="{}a|{}ine|{}ke|{}hild|{}dis",
        family="Ager Bir Dal Eng Fri Gren Hav Is Kjær Lund Møl Nør Over Rav Skov Tang Vest Ær",
        families="{}sen|{}gaard|{}holm|{}lund|{}bæk|{}strup",
        place="Asp Bøge Dyb Elle Fugl Gran Hjort Lærke Mose Rør Sø Tjørne",
        streets="{}vej|{}gade|{}allé|{} Strandvej",
        cities="{}borg|{}rup|{}køb|{}by Sogn", states="{}land|Øst-{}",
        postcode="$##/##", phone="$###/####", cell="$###/####",
    ),
    Nationality(
        code="ES", country="Spain", id_name="DNI", id_value="$###/####-@",
        first="Amal Bern Cel Dam Eul Flor Gum Jac Mar Ver",
        male="{}io|{}ino|{}ardo|{}o|{}ián", female="{}ia|{}ina|{}arda|{}a|{}encia",
        family="Alm Barr Cas Dom Esp Fuent Gal Herr Iz Lag Mont Nav Orm Peñ Quij Rob Sal Vel",
        families="{}ez|{}ado|{}uero|de {}ares|{}eño|{}illo",
        place="Alba Brisa Cañada Duero Encina Fresno Guija Lirio Mirlo Olmo Peña Vega",
        streets="Calle de {}|Avenida de {}|Paseo de la {}|Ronda {}",
        cities="{} del Río|Villa {}|{} la Real|Puerto {}", states="Tierra de {}|{} la Alta",
        postcode="$##/##", phone="9##-##/#-###", cell="6##-##/#-###",
    ),
    Nationality(
        code="FI", country="Finland", id_name="HETU", id_value="NaNNA#/##undefined",
        first="Aar Eel Hel Ilm Kal Lau Min Osm Sul Vel",
        male="{}o|{}ari|{}eri|{}mo|{}us", female="{}a|{}ina|{}ja|{}mi|{}ikki",
        family="Aho Haka Jär Kal Kive Lah Mäk Nie Ora Pel Ran Sal Suo Tam Uus Vii Ylä Äyr",
        families="{}la|{}nen|{}vaara|{}salo|{}mäki|{}ranta",
        place="Haapa Joki Kaisla Kuusi Lumi Metsä Niitty Pihlaja Ranta Suvi Tammi Yö",
        streets="{}katu|{}tie|{}polku|{}kaari",
        cities="{}järvi|{}koski|{}niemi|{}vaara", states="Etelä-{}|{}n maa",
        postcode="$##/##", phone="0#-#/##-###", cell="04#-##/#-##-##",
    ),
    Nationality(
        code="FR", country="France", id_name="INSEE", id_value="$######/###### ##",
        first="Aur Basil Cél Dor Étien Fabr Gaët Lor Math Ysol",
        male="{}ien|{}ice|{}an|{}ot|{}in", female="{}ienne|{}ette|{}ane|{}ie|{}ine",
        family="Arn Beauv Clav Dur Esn Faur Gail Hér Jouv "
               "Lacr Mér Noir Ours Pér Roq Sauv Thév Vign",
        families="{}eau|{}ard|{}ier|de {}y|{}oux|{}elle",
        place="Aubes Bruyère Chêne Douve Étang Fougère Glycine Houx Lavoir Merle Orme Tilleul",
        streets="Rue du {}|Place de l'{}|Impasse {}|Boulevard du Vieux {}",
        cities="{}-sur-Aure|Saint-{}|{}ville|Les {}s", states="Haute-{}|Val-de-{}",
        postcode="$##/##", phone="0#-##-#/#-##-##", cell="06-##-#/#-##-##",
    ),
    Nationality(
        code="GB", country="United Kingdom", id_name="NINO", id_value="@@ ## #/# ## @",
        first="Ald Bram Clem Der Ed Garr Hal Ros Thel Win",
        male="{}wyn|{}ric|{}ward|{}mond|{}ley", female="{}ina|{}rys|{}alyn|{}etta|{}wen",
        family="Ack Bram Crom Dray Elt Farn Goth Hax Kes Lyd Mar Nett Orm Pryd Rams Stav Thorn Wyl",
        families="{}ley|{}worth|{}ton|{}by|{}-Hythe|{}ham",
        place="Amber Black Crow Dove Farm Grange Holly King Mill North Stone Wren",
        streets="{} Street|{} Lane|The {}|{} Hill Road",
        cities="{}ford|{}bury|{}mouth|{} St Alder, Lower Quarter", states="{}shire|South {}land",
        postcode='"@## |"@@## |"@#@ |"@# |"@@# |"@@#@ /#@@"',
        phone="01#### |01### |02# ##|0169772 ### /#####", cell="07### ##/####",
    ),
    Nationality(
        code="IE", country="Ireland", id_name="PPS", id_value="$###/###T",
        first="Aodh Bláith Ciar Dair Eimh Fion Lor Niam Rón Tadh",
        male="{}an|{}ín|{}agh|{}án|{}us", female="{}ne|{}a|{}nait|{}in|{}ís",
        family="Ard Brann Cull Dool Fenn Garv Hanl Keav Lal "
               "Mahr Neal Orm Quill Rael Shann Tier Whel Yar",
        families="O'{}an|{}agan|Mc{}|{}ey|{}ihy|{}lan",
        place="Abbey Bog Cashel Dun Fern Glen Heather Inis Kil Lough Rath Shan",
        streets="{} Street|{} Park|{}more Road|The {} Avenue",
        cities="{}bawn|Bally {}|{}derg|{}town", states="{}meath|County {}",
        postcode="$##/##", phone="0#1-##/#-####", cell="081-##/#-####",
    ),
    Nationality(
        code="IN", country="India", id_name="UIDAI", id_value="$#####/######",
        first="अर बल चेत दिव गौर हर कम लव मन सुर",
        male="{}ेश|{}ीत|{}न|{}ज|{}ाल", female="{}ा|{}ी|{}िका|{}नी|{}िता",
        family="अग बर चौध दत गर जोग कप लाल मह नाग पट रण सक तल उप वर शर यद",
        families="{}वाल|{}कर|{}ेजा|{}ानी|{}पाल|{}देव",
        place="Amra Bela Chand Devi Ganga Hari Jamun Kamal Neem Rani Surya Tara",
        streets="{} Marg|{} Nagar|{} Road|Old {} Bazaar Lane",
        cities="{}pur|{}garh|{} Nagari|{}abad", states="{} Pradesh|Uttar {}",
        postcode="$##/##", phone="$###/######", cell="9###/######",
    ),
    Nationality(
        code="IR", country="Iran",
        first="آر بهر دار فر کام مهر نیک پار سام شاد",
        male="{}ان|{}اد|{}مند|{}وش|{}یار", female="{}ا|{}انه|{}ناز|{}ین|{}یسا",
        family="احم برز دان گل حس جم کری مرا نور پاک رست سبز تیم وف یزد زار فرخ بهم",
        families="{}ی|{}زاده|{}\u200cپور|{}یان|{}ی\u200cنژاد|{}فر",
        place="آبان باغ چمن دریا گلبن لاله مرجان نارون پونه سروناز تاک یاس",
        streets="{}|خیابان {}|شهید {}ی|میدان {}",
        cities="{}شهر|{}\u200cآباد|نو {}|{} بزرگ", states="{}ستان|{}ِ شمالی",
        postcode="$##/##", phone="0##-##/######", cell="09##-##/#-####",
    ),
    Nationality(
        code="MX", country="Mexico", id_name="NSS", id_value="## ## #/# #### #",
        first="Abund Baud Cris Don Efr Fid Jes Leov Ros Tri",
        male="{}io|{}elio|{}ito|{}ón|{}ino", female="{}ia|{}elia|{}ita|{}alba|{}ina",
        family="Ac Bust Cord Dáv Esc Fig Gall Hin Jur Lej Mend Nuñ Oroz Pal Ruv Sol Tej Zum",
        families="{}eros|{}iega|{}alva|{}ondo|{}iño|{}ejo",
        place="Agave Bravo Cenote Dalia Fuego Jacal Luna Mango Nopal Pirul Sierra Tuna",
        streets="Calle {}|Calzada {}|Prolongación {}|Eje vial {}",
        cities="San {}|{} de los Montes|Villa de {}|{}tlán", states="Baja {}|{} de la Costa",
        postcode="$##/##", phone="(6##) ##/# ####", cell="(6##) ##/# ####",
    ),
    Nationality(
        code="NL", country="Netherlands", id_name="BSN", id_value="$###/####",
        first="Aart Bas Corn Dir Evert Geer Hil Jor Maar Wil",
        male="{}jan|{}en|{}us|{}o|{}wijn", female="{}a|{}je|{}ine|{}ke|{}trui",
        family="Aker Berk Dijk Eiken Fries Gouw Heuv Ijss Kamp "
               "Linden Meul Noord Oever Polder Riet Sluis Veld Zand",
        families="{}ma|van der {}|In 't {}|{}stra|de {}er|{}sen",
        place="Anjer Beuk Dorps Esdoorn Fazant Gracht Hazel Kerk Linde Molen Roos Zwaluw",
        streets="{}straat|{}laan|{}plein|Oude {}weg",
        cities="{}dam|{}wijk|Sint-{}|{}hoven aan den Rijn", states="{}land|Noord-{}",
        postcode='"##/## @@"', phone="(0##) #|(0##) #|(0###) /######", cell="(06) ##/######",
    ),
    Nationality(
        code="NO", country="Norway", id_name="FN", id_value="######/#####",
        first="Alf Bjør Dag Ei Frid Gunn Hå Jost Sig Tor",
        male="{}mund|{}ar|{}nar|{}ulf|{}stein", female="{}a|{}rid|{}vor|{}hild|{}unn",
        family="Aas Berg Dal Eide Fjell Grøn Hauk Isak Kvam "
               "Lien Myr Nes Ødeg Ramm Sand Tveit Ulv Vik",
        families="{}sen|{}rud|{}stad|{}lie|{}åsen|{}haug",
        place="Bjørke Elve Furu Gran Hassel Kleiv Lyng Mølle Ospe Rogne Sol Åker",
        streets="{}veien|{}gata|{} terrasse|{}svingen",
        cities="{}vik|{}sund|{}fjord|{}moen", states="{}fylke|Sør-{}",
        postcode='"##/##"', phone="$###/####", cell="9###/####",
    ),
    Nationality(
        code="NZ", country="New Zealand",
        first="Ari Bayl Coop Dec Fynn Hemi Kau Lach Mana Tama",
        male="{}an|{}lan|{}er|{}ton|{}ri", female="{}ra|{}lia|{}elle|{}een|{}na",
        family="And Bod Cart Dray Ell Fitz Gray Hohe Jeff Kaur Lew Mor Ngat Pato Rua Singl Tai Wal",
        families="{}erson|{}ai|{}ley|{}mere|{}kin|{}ton",
        place="Aro Fern Hinau Kauri Kowhai Mako Nikau Rata Rimu Tui Weka Toi",
        streets="{} Street|{} Terrace|{} Bay Road|{} Crescent",
        cities="{}nui|{}toa|Lake {}|{} Heads", states="{} Plains|Te {}",
        postcode="$##/##", phone="(###)-##/#-####", cell="(###)-##/#-####",
    ),
    Nationality(
        code="RS", country="Serbia", id_name="SID", id_value="####/#####",
        first="Bož Cvet Drag Đur Ljub Mil Nev Rad Slav Živ",
        male="{}an|{}imir|{}oje|{}oljub|{}utin", female="{}ana|{}ica|{}inka|{}oslava|{}ena",
        family="Ačan Beč Čolak Duš Đorđ Gaj Jelen Kost Lukš "
               "Mark Njeg Obrad Paun Rist Šap Tod Vuj Živk",
        families="{}ić|{}ović|{}ovski|{}ac|{}ički|{}anin",
        place="Бели Врбов Горњи Дубрав Јасен Калин Лепи Љубин Мали Пољан Стари Храст",
        streets="Улица {}|{}ска|Трг {}|Булевар {}",
        cities="{} град|{}овац|{}ица|Нови {}", states="{}ски округ|Доњи {}",
        postcode="$##/##", phone="0##-##/##-###", cell="06#-##/##-###",
    ),
    Nationality(
        code="TR", country="Turkey",
        first="Ay Bur Cem Deniz Er Gök İl Nur Öz Şen",
        male="{}han|{}kan|{}alp|{}er|{}men", female="{}gül|{}a|{}sel|{}nur|{}can",
        family="Ak Balk Çel Demir Er Gün Hız Işık Kara Mert Ok Öz Pek Sarı Şah Taş Uy Yıld",
        families="{}oğlu|{}maz|{}türk|{}soy|{}çı|{}demir",
        place="Ardıç Bahar Çınar Deniz Elma Fidan Güneş Irmak Kavak Lale Söğüt Yıldız",
        streets="{} Sk|{} Cd|{} Bulvarı|Eski {} Yolu",
        cities="{}köy|{}hisar|Yeni {}|{}pınar", states="{}eli|Batı {}",
        postcode="$##/##", phone="(###)-##/#-####", cell="(###)-##/#-####",
    ),
    Nationality(
        code="UA", country="Ukraine",
        first="Бож Вір Дан Єв Зор Люб Мар'я Рад Світ Яр",
        male="{}ило|{}омир|{}ослав|{}ко|{}ій", female="{}ина|{}ана|{}ослава|{}ка|{}ія",
        family="Бай Вов Гай Дзюб Журав Зуб Коваль Лис Мороз "
               "Ної Оріш П'ят Руд Сав Тимч Хмар Черв Щер",
        families="{}енко|{}чук|{}івський|{}ець|{}ишин|{}юк",
        place="Barvin Chumats G'orin Kalin Lipov Mlin Ozern Polyan Sokil Topol Vesn Zoryan",
        streets="{}ska|{}na|provulok {}iy|{}skiy shlyah",
        cities="{}ivka|{}grad|Novi {}y|{}opil", states="{}ska|Pivnichno-{}ska",
        postcode="$##/##", phone="(09#) @/##-####", cell="(06#) @/##-####",
    ),
    Nationality(
        code="US", country="United States", id_name="SSN", id_value="###-#/#-####",
        first="Ald Bray Clay Dext Ever Jax Lan Mer Rand Tren",
        male="{}en|{}ton|{}er|{}don|{}y", female="{}a|{}lee|{}elyn|{}is|{}anne",
        family="Alder Bake Carl Dens Ell Frank Gard Holl Jens "
               "Kirk Lamb Mill Nor Pratt Rich Steph Thom Wat",
        families="{}son|{}field|{}man|{}ers|{}-Boone|{}by",
        place="Aspen Bluff Cotton Dogwood Eagle Forest Gold Hick Lake Oak Prairie Walnut",
        streets="{} St|{} Ave|{} Ridge Rd|W {} Dr",
        cities="{} City|{}ville|{} Rapids|Fort {}", states="{}ana|West {}",
        postcode="$##/##", phone="($##) ##/#-####", cell="($##) ##/#-####",
    ),
)
# fmt: on

# How e-mail addresses spell letters that do not decompose into a Latin letter and an accent:
# pairs of a letter and its spelling. Other letters that are not ASCII are left out.
_SPELLING = """
ß ss  æ ae  ø o  œ oe  đ d  ı i
а a  б b  в v  г h  д d  е e  є ye  ж zh  з z  и y  й i  і i  ї yi  к k  л l  м m  н n  о o
п p  р r  с s  т t  у u  х kh  ц ts  ч ch  ш sh  щ shch  ю yu  я ya
آ a  ا a  ب b  پ p  ت t  ج j  چ ch  ح h  خ kh  د d  ر r  ز z  ژ zh  س s  ش sh  ف f  ق q
ک k  گ g  ل l  م m  ن n  و w  ه h  ی y
अ a  उ u  क k  ग g  च ch  ज j  ट t  ण n  त t  द d  ध dh  न n  प p  ब b  म m  य y  र r  ल l
व v  श sh  स s  ह h  ा a  ि i  ी i  ु u  े e  ो o  ौ au
"""
_SPELLED = _SPELLING.split()
TRANSLITERATION = str.maketrans(dict(zip(_SPELLED[::2], _SPELLED[1::2], strict=True)))
