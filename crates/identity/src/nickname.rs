//! Given names that stand for each other. Our own table, written for this crate: common English and Spanish variants.
//!
//! One line is one group; a name may be in several groups (`alex`, `chris`, `pat`). Two names are variants when they share a
//! group. The table is symmetrical and not transitive, on purpose: `alex` links to `alexandra`, `alexandra` not to `alexander`.

use std::collections::HashMap;
use std::sync::LazyLock;

const GROUPS: &str = "
abigail abby abbie gail
abraham abe bram
adelaide addie adele della heidi
adrian adriano ade
agnes aggie inez ines
albert al bert bertie alberto beto
alexander alex al alec xander sandy sasha lex alejandro
alexandra alex sandra alexa lexi lexie sandy sasha allie ali alejandra
alexandria alex lexi lexie alexa
alexis alex lexi lexie
alfred al fred alf alfie alfredo
alice ali allie ally alicia
alison allison ali allie ally
alonzo lon lonnie al alonso
alvin al vin
amanda mandy manda amy
amelia amy millie mel emelia
ana anna ann anne annie anita hannah nan nancy anya
anastasia ana stacy stacey stasia
andrea andi andy drea
andrew andy drew andre andres
angela angie angel ang angelica angelina
anthony tony ant antonio toni
antoinette toni nettie ann
antonia toni tonia
archibald archie
arnold arnie
arthur art artie arturo
ashley ash lee
audrey audie
augustus gus augie august augustine agustin
barbara barb barbie babs bobbie
barry bart
bartholomew bart barth
beatrice bea trixie bee beatriz
benjamin ben benny benji benjie
bernadette bernie detta
bernard bernie barney bernardo
bertha bertie birdie
bethany beth
beverly bev
bradley brad bradford
brandon bran brand
brenda bren
brian bryan bri
bridget biddy bridie bridgette
brittany britt brit britney
calvin cal vin
cameron cam
camille cammie millie camila
carl carlos charles karl carlito
carla carlita karla
carmen carmelita
carol carrie carole caryl
caroline carrie carol lina caro carolina carolyn lynn
carolyn carrie carol lynn caroline
cassandra cass cassie sandra sandy
catherine cathy cath cate kate kathy katie kitty cat katherine kathryn catalina trina rina
cecilia cece cissy celia
cedric ced rick
charles charlie chuck chas chaz charley carlos
charlotte charlie lottie lotte char carlota
chester chet
cheryl sherry cher cheri
christian chris christy cristian
christina chris chrissy tina christy christie kristina cristina crissy
christine chris chrissy tina christy christie kris kristine
christopher chris kit topher kris cristobal christoph
clara claire clare clarissa
clarence clare
clement clem
clifford cliff
clinton clint
concepcion concha conchita
consuelo chelo connie
constance connie
cornelius neil con corny
courtney court
crystal chris cris krystal
curtis curt kurt
cynthia cindy cyndi cindi
daniel dan danny dani
danielle dani danny dany elle daniela
daphne daph
darlene darla lena
darrell darryl daryl
david dave davy davey davi
dawn dawnie
deanna dee deana dena
deborah deb debbie debby debra debi
delores lola dolores dee lolita
dennis denny den
derek derrick rick
desiree desi dez
diana di diane dianna dee
dominic dom nick dominick domingo
dominique dom nikki
donald don donny donnie
donna dona
dorothy dot dottie dolly dora thea dodie
douglas doug dougie
dwight ike
earl earle earnest
edgar ed eddie ned
edith edie edye
edmund ed eddie ned ted
eduardo ed eddie edward lalo
edward ed eddie ned ted teddy ward eduardo
edwin ed eddie ned win
eileen lena helen ilene
elaine lainie helen
eleanor ellie nell nora ella lenora elena elinor nellie
elijah eli lige
elisabeth elizabeth
elizabeth liz beth betty eliza lizzie betsy bess bessie libby lisa ellie elsie liza lizbeth bette lilibeth isabel elisa betsey
ella ellie
ellen nell nellie ellie helen elena
elmer el
elvira elvie vera
emanuel manny manuel immanuel emmanuel
emily em emmy emmie millie emilia
emma em emmy
enrique henry kike quique
eric rick ricky erick erik
erica ricki erika
ernest ernie ernesto
esperanza hope espe
esther essie hester ester
estelle stella essie essy estella
ethel effie
eugene gene eugenio
eugenia genie gina
evangeline eva vangie evie
evelyn eve evie ev
ezekiel zeke
ezra ez
felicia felice
ferdinand ferdie fernando nando
florence flo flossie florrie
frances fran franny francie fannie frankie francesca francisca
francis frank fran frankie francisco
francisco frank paco pancho cisco francis kiko
franklin frank
frederick fred freddy freddie rick fritz federico
gabriel gabe gabby
gabriela gabby gabi gabrielle
gabrielle gabby gabi elle gabriella
gail abigail gayle
genevieve gen genny eve jenny
geoffrey geoff jeff jeffrey
george georgie jorge
georgia georgie
georgina gina georgie
gerald gerry jerry gerard
geraldine gerry jeri dina
gerard gerry jerry gerardo
gertrude gertie trudy
gilbert gil bert gilberto
gina regina ginny
giovanni gio john vanni
gladys glad
gloria glory
gordon gordy
grace gracie graciela
gregory greg gregg gregorio goyo
gretchen margaret greta
guadalupe lupe lupita
guillermo memo william willy bill
gwendolyn gwen wendy
hannah ann anna
harold hal harry
harriet hattie harrie
harrison harry
hector heck
heather heath
helen nell nellie ellen elena lena
henry hank harry hal enrique
herbert herb bert
herman manny
hilary hill
horace harry
howard howie
hubert hugh bert hub
hugo hugh
ignacio nacho iggy
imogene immy gene
irene rena
irving irv
isaac ike zac
isabel bel isa bella belle izzy isabella isabelle elizabeth
isabella bella isa izzy belle
isabelle belle bella izzy isa
isaiah ike zay
isidore izzy isidro
israel izzy
ivan john
jackson jack jax
jacob jake jay jakob jacobo
jacqueline jackie jacquelyn jacquie
jaime james jamie
james jim jimmy jimmie jamie jay jem jaime
janet jan nettie
janice jan janis
jasmine jaz jazz
jason jay jace
jean jeannie jeanne jeanette jane
jeffrey jeff geoff jeffery
jennifer jen jenny jenn jennie jenifer
jeremiah jerry jeremy jem
jeremy jem jerry
jerome jerry
jessica jess jessie
jesse jess jessie
jesus chuy chucho
jill gill jillian gillian
joan joanie jo
joanna jo joann joanne ana
joaquin quino
joel joe
john jack johnny jon johnnie jackie juan ian sean
johnathan john jon johnny nathan
jonathan jon john jonny nathan nate johnny
jose joe pepe joseph chepe
joseph joe joey jo jos jose
josefina josie josephine pepa fina
josephine jo josie josey fina
joshua josh
joyce joy
juan john johnny juanito
juana jane joan juanita
judith judy jude judi
julia julie jules juli
julian jules
juliana jules julie
julie juli jules
juliet julie jules juliette
julio julius jules
justin just jus
katelyn kate katie kaitlyn
katherine kate kathy katie kat kit kay catherine kathryn kathleen katharine
kathleen kathy kate katie kay kath kat cathleen
kathryn kate kathy katie kat kay kath
kelly kel kelley
kendra ken
kenneth ken kenny kent
kevin kev
kimberly kim kimmie kimber
kristen kris kristy kirsten kristin krissy
kristina kris tina kristy krissy
kristine kris tina kristy krissy
kyle ky
lance lancelot
lauren laurie laura ren
laura laurie lori lolly lauretta
laurence larry
lawrence larry laurie lars lorenzo
leah lee
lenora nora lee
leo leon leonard leonardo leopold
leonard leo len lenny
leroy roy lee
leslie les lee
lester les
levi lev
lillian lil lily lilly lillie
linda lindy lin lynn
lindsay lin lindsey
lloyd floyd
lois lo louise
lorenzo larry enzo lawrence
loretta lori etta retta
lorraine lori rainey
louis lou lewis louie luis
louise lou lulu louisa luisa
lourdes lulu
lucille lucy lou cille
lucinda lucy cindy
lucas luke luca
luis louis lucho
lydia liddy
lynn lynne linda
mabel mae amabel
madeline maddie maddy mady madeleine madelyn lena
madison maddie maddy
magdalena maggie lena magda
malcolm mal
manuel manny manolo
marcella marcy marcie
marcia marcy marsha
marcus mark marc marcos
margaret maggie meg peg peggy marge margie margo madge rita greta gretchen daisy margarita marguerite
margarita rita margaret marga
maria mary mia mari marie maribel
marianne mary ann anne marian maryann
marie mary maria
marilyn mary lynn mari
marion mary
marjorie marge margie marjory
marlene marla lena
martha marty mattie patsy
martin marty mart tino
martina marty tina
marvin marv
mary molly polly mamie maria marie mae may mitzi
mathew matt
matilda tilda tillie mattie
matthew matt matty mateo mathew thew
maureen mo reenie
maurice maury morris mo
max maxwell maximilian maximus
maxine max
megan meg meghan
melanie mel
melinda mindy mel lindy linda
melissa mel missy lissa
melvin mel
mercedes mercy
michael mike mikey mick mickey micah miguel micheal
michelle shelly mickey missy chelle shell michele
miguel mike michael
mildred millie milly
milton milt
minerva minnie
miranda randi mandy
miriam mimi mary
mitchell mitch
mohammed mo mohamed muhammad mohammad
monica mona nica
morris moe maury
moses moe
myra mira
myron ron
nancy nan ann
naomi nomi
natalie nat natty
natasha tasha nat
nathan nate nat
nathaniel nate nat nathan nathanael
nicholas nick nicky nic nico nicolas klaus cole
nichole nikki nicole
nicole nikki nicky nic nicolette cole
noah noe
nora eleanor
norman norm
octavio tavo
olivia liv livvy ollie
oliver ollie
omar omarion
oscar ozzie
oswald ozzie
otto otis
pamela pam
parker park
patricia pat patty tricia trish patsy patti tish
patrick pat paddy rick patricio patty
paul paulie pablo
paula pauline polly
paulina pauline paula lina
pauline paula polly
pedro peter
penelope penny nell
peter pete pedro
phillip phil pip philip
phyllis phyl
preston pres
priscilla cilla pris
rachel rach shelly rachael
rafael rafa raphael ralph
ralph rafe
ramon ray moncho
randall randy rand randolph
randolph randy rand
raquel rachel
raul ral
raymond ray
rebecca becky becca reba
regina gina reggie
reginald reggie reg rex
renee rena
reuben rube ruben
rex reginald
rhonda ronnie ron
ricardo rick richard ricky
richard rick dick rich richie ricky ritchie ricardo
robert bob rob bobby robbie bert robby roberto bobbie
roberta bobbie robbie bert
roberto bob rob beto robert
robin rob robyn
rodney rod
roderick rod rick roddy
rodolfo rudy fito rudolph
rodrigo rod rigo
roger rog rodger
roland rollie rolando
ronald ron ronnie ronny
rosa rose rosie rosita
rosalie rose rosie
rosalind roz rose
rosario charo chayo
rose rosie
rosemary rose rosie mary romy
roxanne roxy roxie roxanna
roy leroy
ruben rube reuben
rudolph rudy rolf
russell russ rusty
ruth ruthie
ryan ry
sabrina brina sabby
salvador sal chava
salvatore sal sally
samantha sam sammy mandy
samuel sam sammy
sandra sandy sandi
santiago santi diego jim
sarah sally sadie sara
saul solomon
savannah savvy anna
scott scotty scottie
sean shawn shaun john
sebastian seb bastian
selena lena
sergio serge checo
seth set
shannon shan
sharon shari sherry shay
sheila shelly
shelby shel
sheldon shel
shirley shirl
sidney sid syd sydney
silvia sylvia
sofia sophia sophie
solomon sol sal
sonia sonya
sophia sophie sofia fia
sophie sophia
stacy stacey
stanley stan
stella estella essy
stephanie steph stephie stef annie fanny
stephen steve stevie steph steven
sterling ster
steven steve stevie stephen
stuart stu stewart
susan sue susie suzy susanna suzanne sukie
susanna sue susie suzy anna susan
suzanne sue suzy susan susie
sylvester sly
tabitha tabby
tamara tammy tam mara
tanya tonya
tara terry
terence terry terrence
teresa terry tess tessa tessie theresa tere
theodore ted theo teddy teodoro
theresa terry tess tessa tessie tracy teri teresa
thomas tom tommy thom tomas
tiffany tiff
timothy tim timmy
tobias toby
todd tod
tracy trace tracey
travis trav
trevor trev
tristan tris
tyler ty
tyrone ty
ulysses lyss
valentina val tina
valerie val
vanessa nessa van
vera veronica
vernon vern
veronica ronnie vera roni nica
vicente vincent chente
victor vic
victoria vicky vickie tori vic vicki
vincent vince vinny vin vinnie vicente
viola vi
violet vi
virgil virg
virginia ginny ginger gina virgie
vivian viv vi
walter walt wally
wanda wendy
warren ren
wayne dwayne
wendell wen
wesley wes
wilbur will
wilfred will fred
wilhelmina mina billie willa minnie
willard will bill
william bill will billy willy willie liam guillermo wil
willis will bill
winifred winnie freda
winston win winnie
xavier javier xavi zav
yolanda yoli
yvette eve
yvonne vonnie eve
zachariah zach zack
zachary zach zack zac zak zachery
alan al allan allen
alyssa ally allie lissa lissia lyssa
alicia licia ally
aaron ron ronnie
adelina lina addie
alfonso al fonzie poncho alphonse
althea thea
alma ally
amos moss
anabel ann belle bella annabelle annabel
andrea andie drea
angelina lina
annette annie nettie
april apryl
arabella bella belle ara
ariana ari anna arianna
arianna ari anna
aurora rory aury
autumn auttie
avery avy
belinda bel linda lindy
bernardo bernie nardo
benedict ben bennie
benjamin bennie jamie
blanche blanca
brayden bray
breanna bree bri anna breeanna
brianna bri bree anna briana
brooklyn brook brooke lynn
caleb cal
candace candy dacey candice
carlotta lotta lottie
carson cars
cassidy cassie cass
caitlin cait cate kate katie kaitlin
charlotte lotta
chloe clo coco
claudia claudie
claudine claudie
clayton clay
clementine clem tina
clotilda tilda
clyde cly
colleen coll
colton colt
cordelia cordy
cristina tina cris
cyrus cy
dalton dahl
damian dame
darius dare
dashiell dash
davina vina
delbert del bert
delilah lila
demetrius demi
diego james
dina dinah
dolores dolly lolly
domenica nica
donovan don donny
doris dora dorie
drusilla dru silla
edward eddy neddy
eduardo eddy
edwin eddy
edwina winnie edie
elbert bert
eldon el
eleanor nelly leonora nan
elena ellie lena
elias eli lias
elisha eli
elisa lisa lica elise
eliza liza
elizabeth lilly lily tetty tetsy betsie bessy libbie lizzy buffy ilse lisbeth liesl
elliot eli el
elmira mira
emerald em
emily mel millie
emmett em
enoch nock
erin rin
ernestine tina ernie erna
estefania stefi
ethan eth
eva eve evie evita
evan ev
ezequiel zeke cheque
faith fay fae
felix fee lix
fidel del
florence flora flossy flory
frances sis fanny
francine fran frankie francie
francisca paca paquita cisca
franklin fran frankie
genevieve viv neva
georgiana georgie gia
giselle elle
grant grantie
greta gretel
gregory gory grig
gwyneth gwen
hadley had
hannah nanny
harold harry hap
harriet hatty hetty
haven havvy
heather hetty
helena lena nell
henrietta hetty etta hattie henny
henry hen hank
hester hetty
hezekiah hez
hope hopie
ian john
imelda mel
isabel ib sabella tibbie
isaac zak
jacob jaap jeb coby
jacoby coby
jaclyn jackie
janelle jan nell
janet jessie jenny
janine jan nina
jarrod jerry
jasper jas
jeanette jean nettie
jedidiah jed
jemima mima jem
jeremy jez jer
jeremiah jez
jerome romy
jillian jilly
joann jo joanne
jocelyn joss lynn josie
jody joseph judith
johanna jo hanna
jordan jordy jud
josefa pepa
joseph jody
judah jude jud juder
julian jule
julissa julie
junior jr
justin jus justy
justina tina justy
karen kari
karina rina kari
kassandra kassie
katarina kat rina kate
kayleigh kay leigh
keith keithy
kendall ken kenny
kendra kenny
kendrick ken kenny rick
kenneth kenji
kermit kerry
kieran kier
kirsten kirsty kris
kristin kris kristy chris krissy
kristine chris
kristopher kris chris topher
larissa lara rissa
lavinia vina vinnie
leanna lee anna
leighton lee
leland lee
leila lila
leonora nora
leticia tish
levi lee
lilian lil lily
lilith lil lily
lincoln link linc
linus line
lionel leo
logan logie
lucia lucy luce
luciana lucy ana
luciano lou
lucius lou
luella lu ella
luther lou
lynette lynn
mackenzie mack kenzie mckenzie
madeline maud lena lynn
madelyn maddie maddy
madison mattie maddie
magnolia maggie nola
mahala hallie
manuela manny nela
marcelo marce celo
margaret daisy madge maisie mag maggy mamie margery meta metta peggie pearl polly
margarita metta mago tita
mariana mari ana
mariah mari
maribel mari bel
marissa rissa mari
maryellen mary ellen
mason mase
mathias matt
matthew thias thys mattie thad
matilda maud patty
maurice morrie
maverick mav
maximilian max
mckenna kenna
meredith merry
merle merry
micah mike
michaela mickey kayla
michael micky mitch
michelle mitchie shelley
miles milo
millicent milly missy
minnie wilhelmina
mitchell mickey mick
monique mo nikki
montgomery monty
monica monnie monty
morgan mo
mortimer mort
myrtle myrtie
napoleon leon nap
natalia talia nat
nathalie nat
natalie natty nettie talia
nehemiah nemi
nestor nes
nevaeh nev
nicholas claus nickie
nicole nickie
noel nolly
nolan nole
nora nonie nory honora
norbert bert norb
obadiah obie
obed obie
olive ollie
olga ollie
ophelia phelia
orlando orly lando
osbert bert ozzie
osvaldo valdo ozzie
palmer palm
paige pay
paisley pais
pascal pat
patience pat patty
penelope nellie pen poppy
percival percy
perry perrie peregrine
peter pate peterkin
petronella nella pet
phineas finn
philomena mena phil
phoebe phoebs
prescott scott scotty
providence provy
prudence prue
quentin quin
quincy quin
rachel shelley rae
ralph rafe
ramona mona
rebecca beck beckie
reynaldo rey naldo
ricardo cardo
richard hitch dickie dickon rickie
rita margarita
robert dob dobbin hob hobkin nob rupert robin
roberta bertie
roderick erick
rosanna rose anna
rosalyn rose lynn
rosemarie rose marie
rowena ro winnie
royce roy
roland rowland orlando rolly
ronald naldo
ronaldo ron naldo
rufus rufe
rylan ry
rylee ry
ryder ry
salome sal
sarah sadie sally sara sal
savanna savvy
scarlett scar lettie
selma anselma
serafina fina
serena rena
seymour sy
sierra see
sigmund sig
silas si
silvester syl
simeon si simon
simon si sim
simone mona
skyler sky
spencer spence
susan sukey sukie suky
susannah sukey susie
sybil sib
tabitha tabbie
talia tal
tatiana tania tanya
taylor tay
teodora dora teo
thaddeus thad
theodora dora thea teddy theo
theophilus theo
theresa tessy resa terri
thomas thos tommie tam
tiana tia
timothy timmie
tobias tobe
trenton trent
trevor trev
ursula ursa sula
valentin val
valentine val
valencia val
vanessa vanna vannie
veda vee
verna vern
vickie victoria
victoria tory torie vicki viki
vincenzo vince enzo
viola ola
virginia jane ginnie
vivian vivi
waldo wally
wallace wally
walter wat watty
wanda vandy
washington wash
wendell del
wendy wen
wilbert bert will
wilfredo fred will
willa bill
willie william wilhelmina winifred
william bell wilkin wilkie
wilma billie mina
winfield field win
winifred fred freddie una
woodrow woody
yasmin yas
yolanda yola landa
zachariah zak zac
zachary zackie
zebulon zeb
zedekiah zed
adriana adri ana
alana lana
alejandra ale
alejandro ale jandro
alma almita
amado ama
andres andresito
antonia tona
antonio tono toni tony
armando mando
aurelio aure
bonifacio boni
carolina caro lina
cayetano tano
claudio clau
cristian cris
daniela dani
diana dianita
dionisio nicho
domingo mingo
edgardo ed gardo
eduardo edu
emilio emi milo
enrique rique
esteban steven stephen teban
evaristo ever
faustino tino
federico fede rico
felicitas feli
fernanda fer nanda
fernando fer
florencio floro
francisco fran
gerardo gera lalo
graciela chela grace
gregorio greg
guadalupe lupita lupe
hermenegildo gildo
hernan ernan
hilario lalo
hortensia tencha
isabel chabela chavela
ismael isma mel
jorge jordi coque
jose pepito cheo
josefa chepa
juan juancho
lazaro lacho
leandro leo
leonardo leo nardo
leonel leo
lidia lydia
lorena lore
luciana lucy
luis lucho luisito
macario maca
manuela manola
marcelina chelina
marcelino marce lino
margarito mago
mario mayo
mauricio mauro
maximiliano max
maximo max
mercedes meche merche
micaela mica
miguel micky
monserrat monse
natalia nati
nicolasa nico colasa
norberto beto
octavio tavo
pascual pasco
patricio pato
paulino paul lino
plutarco plu
rafael rafi
ramiro rami
raymundo ray mundo
remedios reme
rolando rolo
rosalia rosi lia
rosario chayito
salomon sal
santos santi
saturnino nino
sebastian sebas
severiano seve
socorro coco
soledad sole chole
teodoro teo doro
teresa tere teresita
tomas tomy
valeria vale
vicenta chenta
victor vico
victoria vico
vidal vid
virginia vicky
yadira yadi
zenaida zena
justin justus
david day
carolyn cassie
paul polly
caroline cassie
kenneth kendrick
gerald geraldo
geraldine jerry
samson sam
camilo milo cam
damon dame
tyson ty
kaleb kale
keegan keeg
landon lan
rebekah becky bekah
abel abe
absalom app
alonso lonso
barnabas barney
cecil cis
delphine fina del
electa lecta
erastus ras
eustace stacy
ferdinando nando
hosea hosie
ichabod ike
jemimah mima
keziah kizzy
leonidas lee leo
lucretia creasy
malachi mal
mehitabel hetty mitty
moises moy
nadine nada
obedience beedy
parthenia parthy
permelia mellie
roxana roxy
sophronia frona
tryphena phena
zedock zed
julie jule
alexandria alla
zoe zoey
alondra lonnie
bernice bernie bunny
berenice bere
bonnie bonita
cordelia delia
delia della
dustin dusty dust
elena helen nena
eliseo eli
emerson em
estefania stephanie fani
fabian fabio
felipe philip pipe
gustavo gus tavo
humberto beto
javier xavier javi
jonas jon
jorge george
josiah joe si
kayla kay
kaylee kay
leticia lety letty
lorena lori
luz lucy
luisa louise lulu
makayla kayla kay
marisol mari sol
mateo matthew teo
maritza mari
natividad nati
nicolas nick nico
octavia tavi
pablo paul
ignatius iggy
rigoberto rigo beto
refugio cuca
rocio chio
rogelio roger
romeo rome
rosalinda rosa linda
rosario rosie
trinidad trini
tomas tom thomas
veronika ronnie
wilson will
yesenia jessie
";

static INDEX: LazyLock<HashMap<&'static str, Vec<u16>>> = LazyLock::new(|| {
    let mut index: HashMap<&'static str, Vec<u16>> = HashMap::new();
    for (group, line) in (0u16..).zip(GROUPS.lines()) {
        for name in line.split_whitespace() {
            index.entry(name).or_default().push(group);
        }
    }
    index
});

static ROOTS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    GROUPS
        .lines()
        .map(|line| line.split_whitespace().next().unwrap_or(""))
        .collect()
});

/// Whether two folded given names are variants of one name, however a pet name's ending is written (`-y`, `-ie`, `-ey`, `-i`).
pub fn variants(a: &str, b: &str) -> bool {
    if let (Some(x), Some(y)) = (INDEX.get(a), INDEX.get(b))
        && x.iter().any(|group| y.contains(group))
    {
        return true;
    }
    let shared = |x: &str, y: &str| other_endings(x).any(|x| groups_meet(&x, y));
    shared(a, b) || shared(b, a)
}

fn groups_meet(a: &str, b: &str) -> bool {
    match (INDEX.get(a), INDEX.get(b)) {
        (Some(x), Some(y)) => x.iter().any(|group| y.contains(group)),
        _ => false,
    }
}

fn other_endings(name: &str) -> impl Iterator<Item = String> {
    const ENDINGS: &[&str] = &["ie", "ey", "y", "i"];
    let cut = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| stem.len() >= 2);
    cut.into_iter()
        .flat_map(|stem| ENDINGS.iter().map(move |ending| format!("{stem}{ending}")))
        .filter(move |other| other != name)
}

/// Whether the shorter of two folded names is formed from the longer the way pet names are: its beginning (`Cam`, `Cammy` of
/// Camden), or four letters or more out of it (`Naldo` of Ronaldo). Two letters are not enough: Al may be anybody.
pub fn diminutive(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let stem = stem(short);
    if long.len() < stem.len() + 2 || stem.len() == short.len() && long.len() < short.len() + 2 {
        return false;
    }
    (stem.len() >= 3 && long.starts_with(stem)) || (short.len() >= 4 && stem.len() >= 3 && long.contains(short))
}

/// A name without the ending of a pet name, and without the letter doubled before it.
fn stem(name: &str) -> &str {
    const ENDINGS: &[&str] = &["ito", "ita", "ie", "ey", "ee", "y", "i"];
    let cut = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let bytes = cut.as_bytes();
    match bytes {
        [.., x, y] if x == y && bytes.len() > 2 && x.is_ascii() => cut.get(..cut.len() - 1).unwrap_or(cut),
        _ => cut,
    }
}

/// Whether the table holds this folded name.
pub fn known(name: &str) -> bool {
    INDEX.contains_key(name)
}

/// The full names this folded name may stand for; empty when the table does not hold it.
pub fn roots(name: &str) -> impl Iterator<Item = &'static str> {
    INDEX
        .get(name)
        .into_iter()
        .flatten()
        .filter_map(|group| ROOTS.get(usize::from(*group)).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_symmetrical_and_not_transitive() {
        for (a, b) in [("bob", "robert"), ("alex", "alexandra"), ("bill", "liam"), ("paco", "francisco")] {
            assert!(variants(a, b) && variants(b, a), "{a} {b}");
        }
        assert!(!variants("alexandra", "alexander"));
        assert!(!variants("zzz", "zzz"));
    }

    #[test]
    fn pet_names_are_formed_from_the_beginning_or_a_long_part() {
        for (a, b) in [("cammy", "camden"), ("dann", "daniel"), ("naldo", "ronaldo"), ("marg", "margarita"), ("emilie", "em")] {
            assert_eq!(diminutive(a, b), diminutive(b, a), "{a} {b}");
        }
        assert!(diminutive("cammy", "camden") && diminutive("dann", "daniel") && diminutive("ronaldo", "naldo"));
        assert!(!diminutive("al", "albert") && !diminutive("ana", "ann") && !diminutive("mark", "marc"));
    }

    #[test]
    fn the_table_is_written_in_folded_form() {
        for name in GROUPS.split_whitespace() {
            assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
        }
    }
}
