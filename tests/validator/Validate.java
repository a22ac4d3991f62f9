import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport.IssueSeverity;
import ca.uhn.fhir.parser.DataFormatException;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.MetadataResource;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r4.model.ValueSet;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;
import org.hl7.fhir.utilities.npm.NpmPackage;

/**
 * HL7's validator over files, offline: R4's own definitions, those of the packages named, and those among the files.
 *
 * <p>{@code Validate [--package FILE.tgz]... [--define FILE]... [--profile URL] FILE... [--wrong FILE...]} prints errors and warnings by file and ends
 * with 1 when a file has an error, or when one behind {@code --wrong} has none: a check that cannot fail says nothing. A code of a
 * system that nothing here carries is a warning; codes of R4's own systems are checked.
 */
public final class Validate {
    /** What a Bundle carries of members is as it was received: not the server's to answer for. */
    private static final Pattern IN_AN_ENTRY = Pattern.compile("^Bundle\\.entry\\[\\d+]\\.resource/\\*(\\w+)/");
    private static final Set<String> OURS_IN_A_BUNDLE = Set.of("OperationOutcome", "CapabilityStatement", "Bundle", "CodeSystem",
            "SearchParameter", "OperationDefinition", "StructureDefinition", "AuditEvent", "Task");

    /** Constraints that look through a reference: what is at its other end is not in the file. */
    private final Set<String> looksElsewhere = new HashSet<>();
    private final FhirContext context = FhirContext.forR4();
    private final ValidationOptions options = new ValidationOptions();
    private final PrePopulatedValidationSupport definitions = new PrePopulatedValidationSupport(context);

    public static void main(String[] arguments) throws IOException {
        Validate run = new Validate();
        List<String> right = new ArrayList<>();
        List<String> wrong = new ArrayList<>();
        List<String> into = right;
        for (int at = 0; at < arguments.length; at++) {
            switch (arguments[at]) {
                case "--package" -> run.load(Path.of(arguments[++at]));
                case "--define" -> run.take(Path.of(arguments[++at]));
                case "--profile" -> run.options.addProfile(arguments[++at]);
                case "--wrong" -> into = wrong;
                default -> into.add(arguments[at]);
            }
        }
        if (right.isEmpty()) {
            System.err.println("usage: Validate [--package FILE.tgz]... [--define FILE]... [--profile URL] FILE... [--wrong FILE...]");
            System.exit(2);
        }
        for (String file : right) {
            run.define(Files.readString(Path.of(file)), null);
        }
        FhirValidator validator = run.validator();
        int failed = 0;
        for (String file : right) {
            failed += run.check(validator, file) == 0 ? 0 : 1;
        }
        for (String file : wrong) {
            failed += run.check(validator, file) == 0 ? 1 : 0;
        }
        System.out.println(right.size() + " right and " + wrong.size() + " wrong files: " + failed + " not as expected");
        System.exit(failed == 0 ? 0 : 1);
    }

    private FhirValidator validator() {
        UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
        unknown.setNonExistentCodeSystemSeverity(IssueSeverity.WARNING);
        ValidationSupportChain chain = new ValidationSupportChain(
                definitions,
                new Undecidable(context),
                new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new SnapshotGeneratingValidationSupport(context),
                unknown);
        // One coding out of the value set is enough (R4 terminologies, "Binding Strengths").
        chain.setCodeableConceptValidationSuccessfulIfNotAllCodingsAreValid(true);
        FhirInstanceValidator instance = new FhirInstanceValidator(chain);
        instance.setAnyExtensionsAllowed(true);
        instance.setErrorForUnknownProfiles(false);
        instance.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
        return context.newValidator().registerValidatorModule(instance);
    }

    /** How many errors the file has. */
    private int check(FhirValidator validator, String file) throws IOException {
        int errors = 0;
        for (SingleValidationMessage message : validator.validateWithResult(Files.readString(Path.of(file)), options).getMessages()) {
            String where = message.getLocationString() == null ? "" : message.getLocationString();
            if (ofMembers(where) || looksElsewhere.stream().anyMatch(key -> message.getMessage().contains("Constraint failed: " + key + ":")) || message.getSeverity() == ResultSeverityEnum.INFORMATION) {
                continue;
            }
            errors += message.getSeverity() == ResultSeverityEnum.WARNING ? 0 : 1;
            System.out.println("  " + message.getSeverity().getCode() + " at " + where + ": " + message.getMessage());
        }
        System.out.println(Path.of(file).getFileName() + ": " + errors + " errors");
        return errors;
    }

    private static boolean ofMembers(String where) {
        Matcher entry = IN_AN_ENTRY.matcher(where);
        return entry.find() && !OURS_IN_A_BUNDLE.contains(entry.group(1));
    }

    /** Takes the definitions of a package in the layout of the FHIR package registry. */
    private void load(Path file) throws IOException {
        int taken = 0;
        try (InputStream bytes = Files.newInputStream(file)) {
            NpmPackage packed = NpmPackage.fromPackage(bytes);
            NpmPackage.NpmPackageFolder folder = packed.getFolders().get("package");
            for (String name : folder.listFiles()) {
                if (name.matches("(StructureDefinition|ValueSet|CodeSystem)-.*\\.json")) {
                    taken += define(new String(folder.getContent().get(name), StandardCharsets.UTF_8), packed.version()) ? 1 : 0;
                }
            }
        }
        System.out.println(file.getFileName() + ": " + taken + " definitions");
    }

    /** Takes one definition, which is not checked itself. */
    private void take(Path file) throws IOException {
        if (!define(Files.readString(file), null)) {
            System.err.println(file + " is no definition");
            System.exit(2);
        }
    }

    private void noteConstraints(IBaseResource definition) {
        if (definition instanceof StructureDefinition structure) {
            structure.getSnapshot().getElement().stream()
                    .flatMap(element -> element.getConstraint().stream())
                    .filter(constraint -> constraint.getExpression() != null && constraint.getExpression().contains("resolve()"))
                    .forEach(constraint -> looksElsewhere.add(constraint.getKey()));
        }
    }

    /**
     * Makes a StructureDefinition, ValueSet or CodeSystem known, by its own version or by that of its package; false when the text is
     * none that can be read.
     */
    private boolean define(String text, String version) {
        try {
            IBaseResource resource = context.newJsonParser().parseResource(text);
            boolean definition = resource instanceof StructureDefinition || resource instanceof ValueSet || resource instanceof CodeSystem;
            if (definition) {
                MetadataResource defined = (MetadataResource) resource;
                if (!defined.hasVersion()) {
                    defined.setVersion(version);
                }
                definitions.addResource(resource);
                noteConstraints(resource);
            }
            return definition;
        } catch (DataFormatException notReadable) {
            return false;
        }
    }
}
