import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.ConceptValidationOptions;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import java.util.List;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.instance.model.api.IPrimitiveType;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.CodeSystem.CodeSystemContentMode;
import org.hl7.fhir.r4.model.ValueSet;
import org.hl7.fhir.r4.model.ValueSet.ConceptSetComponent;

/**
 * Lets a code pass when nobody here can tell whether it is in a value set: one that is not carried, or all of a code system whose
 * codes are not (NDC, HCPCS, LOINC). Value sets that can be decided are left to those who come after.
 */
final class Undecidable implements IValidationSupport {
    /** Value sets may be made of value sets; none that is carried goes deeper. */
    private static final int DEPTH_MAX = 8;

    private final FhirContext context;

    Undecidable(FhirContext context) {
        this.context = context;
    }

    @Override
    public FhirContext getFhirContext() {
        return context;
    }

    @Override
    public boolean isValueSetSupported(ValidationSupportContext chain, String url) {
        return chain.getRootValidationSupport().fetchValueSet(url) instanceof ValueSet set && open(chain, set, null, DEPTH_MAX);
    }

    @Override
    public CodeValidationResult validateCode(
            ValidationSupportContext chain, ConceptValidationOptions options, String system, String code, String display, String url) {
        return url == null ? null : result(chain, chain.getRootValidationSupport().fetchValueSet(url), system, code, display);
    }

    @Override
    public CodeValidationResult validateCodeInValueSet(
            ValidationSupportContext chain, ConceptValidationOptions options, String system, String code, String display, IBaseResource set) {
        return result(chain, set, system, code, display);
    }

    private CodeValidationResult result(ValidationSupportContext chain, IBaseResource set, String system, String code, String display) {
        boolean undecidable = set instanceof ValueSet known && open(chain, known, system, DEPTH_MAX);
        return undecidable ? new CodeValidationResult().setCode(code).setDisplay(display).setCodeSystemName(system) : null;
    }

    /** Whether a code of {@code system} (any, when null) may be in the set for all that is known here. */
    private static boolean open(ValidationSupportContext chain, ValueSet set, String system, int depth) {
        if (set.hasExpansion() && set.getExpansion().hasContains()) {
            return false;
        }
        return set.getCompose().getInclude().stream().anyMatch(include -> open(chain, include, system, depth));
    }

    private static boolean open(ValidationSupportContext chain, ConceptSetComponent include, String system, int depth) {
        List<String> sets = include.getValueSet().stream().map(IPrimitiveType::getValueAsString).toList();
        if (!sets.isEmpty()) {
            return depth > 0 && sets.stream().anyMatch(url -> !(chain.getRootValidationSupport().fetchValueSet(url) instanceof ValueSet inner)
                    || open(chain, inner, system, depth - 1));
        }
        boolean whole = !include.hasConcept() && (system == null || system.equals(include.getSystem()));
        return whole && !(chain.getRootValidationSupport().fetchCodeSystem(include.getSystem()) instanceof CodeSystem codes
                && codes.getContent() == CodeSystemContentMode.COMPLETE);
    }
}
