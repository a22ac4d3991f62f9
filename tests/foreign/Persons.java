import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.annotation.Operation;
import ca.uhn.fhir.rest.annotation.OperationParam;
import ca.uhn.fhir.rest.annotation.RequiredParam;
import ca.uhn.fhir.rest.annotation.Search;
import ca.uhn.fhir.rest.api.server.IBundleProvider;
import ca.uhn.fhir.rest.param.TokenParam;
import ca.uhn.fhir.rest.server.SimpleBundleProvider;
import ca.uhn.fhir.rest.server.exceptions.UnprocessableEntityException;
import java.util.List;
import java.util.stream.Stream;
import org.hl7.fhir.r4.model.Consent;
import org.hl7.fhir.r4.model.Coverage;
import org.hl7.fhir.r4.model.Identifier;
import org.hl7.fhir.r4.model.Parameters;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Reference;

/** The members' Patients, and who is meant by a {@code $member-match}: HAPI has no such operation, so its judgment is ours. */
final class Persons extends Holdings.Held<Patient> {
    private static final String MATCH = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";

    private final boolean older;

    Persons(FhirContext context, Holdings all, boolean older) {
        super(context, Patient.class, all);
        this.older = older;
    }

    @Search
    public IBundleProvider byIdentifier(@RequiredParam(name = "identifier") TokenParam asked) {
        return new SimpleBundleProvider(having(asked.getSystem(), asked.getValue()).toList());
    }

    private Stream<Patient> having(String system, String value) {
        return each().filter(one -> one.getIdentifier().stream()
                .anyMatch(number -> number.getValue().equals(value) && (system == null || system.equals(number.getSystem()))));
    }

    /** The member with this number, birth date and family name. HRex 1.0 answers with an identifier, later versions with the Patient too. */
    @Operation(name = "$member-match", canonicalUrl = MATCH)
    public Parameters match(
            @OperationParam(name = "MemberPatient", min = 1) Patient asked,
            @OperationParam(name = "CoverageToMatch", min = 1) Coverage cover,
            @OperationParam(name = "CoverageToLink", min = 1) Coverage link,
            @OperationParam(name = "Consent", min = 1) Consent consent) {
        Identifier number = cover.getIdentifierFirstRep();
        List<Patient> found = having(number.getSystem(), number.getValue())
                .filter(one -> one.getBirthDateElement().getValueAsString().equals(asked.getBirthDateElement().getValueAsString()))
                .filter(one -> one.getNameFirstRep().getFamily().equalsIgnoreCase(asked.getNameFirstRep().getFamily()))
                .toList();
        if (found.size() != 1) {
            throw new UnprocessableEntityException("No member matches.");
        }
        Parameters answer = new Parameters();
        answer.addParameter().setName("MemberIdentifier").setValue(found.get(0).getIdentifierFirstRep());
        if (!older) {
            answer.addParameter().setName("MemberId").setValue(new Reference(Holdings.name(found.get(0))));
        }
        return answer;
    }
}
