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

/// Whether two folded given names are variants of one name.
pub fn variants(a: &str, b: &str) -> bool {
    match (INDEX.get(a), INDEX.get(b)) {
        (Some(x), Some(y)) => x.iter().any(|group| y.contains(group)),
        _ => false,
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
    fn the_table_is_written_in_folded_form() {
        for name in GROUPS.split_whitespace() {
            assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
        }
    }
}
