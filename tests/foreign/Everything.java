import ca.uhn.fhir.model.valueset.BundleTypeEnum;
import ca.uhn.fhir.rest.annotation.IdParam;
import ca.uhn.fhir.rest.annotation.Operation;
import ca.uhn.fhir.rest.annotation.OperationParam;
import ca.uhn.fhir.rest.api.server.IBundleProvider;
import ca.uhn.fhir.rest.server.SimpleBundleProvider;
import org.hl7.fhir.r4.model.IdType;
import org.hl7.fhir.r4.model.InstantType;
import org.hl7.fhir.r4.model.Patient;

/** {@code $everything}, which HAPI's plain server leaves to whoever uses it; it pages the answer. */
final class Everything {
    private final Holdings held;

    Everything(Holdings held) {
        this.held = held;
    }

    @Operation(name = "$everything", type = Patient.class, idempotent = true, bundleType = BundleTypeEnum.SEARCHSET)
    public IBundleProvider everything(@IdParam IdType patient, @OperationParam(name = "_since") InstantType since) {
        return new SimpleBundleProvider(held.record(patient.getIdPart(), since == null ? null : since.getValue()));
    }
}
