import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.model.api.Include;
import ca.uhn.fhir.model.api.ResourceMetadataKeyEnum;
import ca.uhn.fhir.model.valueset.BundleEntrySearchModeEnum;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.rest.annotation.IdParam;
import ca.uhn.fhir.rest.annotation.IncludeParam;
import ca.uhn.fhir.rest.annotation.OptionalParam;
import ca.uhn.fhir.rest.annotation.Read;
import ca.uhn.fhir.rest.annotation.RequiredParam;
import ca.uhn.fhir.rest.annotation.Search;
import ca.uhn.fhir.rest.api.server.IBundleProvider;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.param.DateRangeParam;
import ca.uhn.fhir.rest.param.ReferenceParam;
import ca.uhn.fhir.rest.param.TokenParam;
import ca.uhn.fhir.rest.server.IResourceProvider;
import ca.uhn.fhir.rest.server.SimpleBundleProvider;
import ca.uhn.fhir.rest.server.method.ResponsePage.ResponsePageBuilder;
import ca.uhn.fhir.rest.server.provider.HashMapResourceProvider;
import ca.uhn.fhir.util.FhirTerser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.IdType;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Provenance;
import org.hl7.fhir.r4.model.Resource;

/** The resources of all members, each type in HAPI's own store in memory. What is searched for and what belongs to a member stands here. */
final class Holdings {
    private final FhirTerser terser;
    private final Map<String, Held<? extends Resource>> byType = new TreeMap<>();

    Holdings(FhirContext context, Path folder, boolean older) throws IOException {
        terser = context.newTerser();
        IParser parser = context.newJsonParser();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(one -> one.toString().endsWith(".ndjson")).sorted().toList()) {
                for (String line : Files.readAllLines(file)) {
                    Resource resource = (Resource) parser.parseResource(line);
                    byType.computeIfAbsent(resource.fhirType(), type -> provider(context, resource, older)).keep(resource);
                }
            }
        }
    }

    private Held<? extends Resource> provider(FhirContext context, Resource first, boolean older) {
        if (first instanceof Patient) {
            return new Persons(context, this, older);
        }
        boolean named = context.getResourceDefinition(first).getSearchParam("patient") != null;
        return named ? new OfMember<>(context, first.getClass(), this) : new Held<>(context, first.getClass(), this);
    }

    Collection<IResourceProvider> providers() {
        return new ArrayList<>(byType.values());
    }

    Stream<? extends Resource> all() {
        return byType.values().stream().flatMap(Held::each);
    }

    boolean isOf(Resource resource, String patient) {
        return terser.isSourceInCompartmentForTarget("Patient", resource, new IdType("Patient", patient));
    }

    /** The resources that this one refers to, as far as they are held. */
    Stream<Resource> named(Resource resource) {
        return terser.getAllResourceReferences(resource).stream()
                .map(found -> found.getResourceReference().getReferenceElement())
                .filter(id -> id.getResourceType() != null && byType.containsKey(id.getResourceType()))
                .flatMap(id -> byType.get(id.getResourceType()).with(id.getIdPart()));
    }

    /** The Provenances of these resources. */
    List<Resource> provenances(Collection<? extends Resource> of) {
        Set<String> names = of.stream().map(Holdings::name).collect(Collectors.toSet());
        Held<? extends Resource> held = byType.get("Provenance");
        return held == null ? List.of() : held.each()
                .filter(one -> ((Provenance) one).getTarget().stream().anyMatch(target -> names.contains(target.getReference())))
                .collect(Collectors.toList());
    }

    static String name(Resource resource) {
        return resource.fhirType() + "/" + resource.getIdElement().getIdPart();
    }

    private static boolean isLater(Resource resource, Date than) {
        Date changed = resource.getMeta().getLastUpdated();
        return than == null || changed == null || changed.after(than);
    }

    /** The resources of one type: read by id and found by id. Nobody writes; HAPI's own store has searches that ignore what they do not know. */
    static class Held<T extends Resource> implements IResourceProvider {
        final Holdings all;
        private final HashMapResourceProvider<T> store;

        Held(FhirContext context, Class<T> type, Holdings all) {
            this.store = new HashMapResourceProvider<>(context, type);
            this.all = all;
        }

        @Override
        public Class<T> getResourceType() {
            return store.getResourceType();
        }

        void keep(Resource resource) {
            store.store(getResourceType().cast(resource));
        }

        Stream<T> each() {
            return store.getStoredResources().stream();
        }

        @Read
        public T read(@IdParam IdType id, RequestDetails request) {
            return store.read(id, request);
        }

        Stream<T> with(String id) {
            return each().filter(one -> one.getIdElement().getIdPart().equals(id));
        }

        @Search
        public IBundleProvider byId(
                @RequiredParam(name = "_id") TokenParam id,
                @OptionalParam(name = "_lastUpdated") DateRangeParam changed,
                @IncludeParam(reverse = true, allow = "Provenance:target") Set<Include> reverse) {
            return found(with(id.getValue()), changed, reverse);
        }

        IBundleProvider found(Stream<T> found, DateRangeParam changed, Set<Include> reverse) {
            Date since = changed == null ? null : changed.getLowerBoundAsInstant();
            List<T> matches = found.filter(one -> isLater(one, since)).toList();
            return reverse == null || reverse.isEmpty() ? new SimpleBundleProvider(matches) : new WithProvenances(matches, all);
        }
    }

    /** Resources that can be found by the member whose they are. */
    static final class OfMember<T extends Resource> extends Held<T> {
        OfMember(FhirContext context, Class<T> type, Holdings all) {
            super(context, type, all);
        }

        @Search
        public IBundleProvider byPatient(
                @RequiredParam(name = "patient") ReferenceParam patient,
                @OptionalParam(name = "_lastUpdated") DateRangeParam changed,
                @IncludeParam(reverse = true, allow = "Provenance:target") Set<Include> reverse) {
            return found(each().filter(one -> all.isOf(one, patient.getIdPart())), changed, reverse);
        }
    }

    /** Matches in pages, and with each page the Provenances of what is on it. The total counts matches alone. */
    private static final class WithProvenances extends SimpleBundleProvider {
        private final Holdings all;

        WithProvenances(List<? extends Resource> matches, Holdings all) {
            super(matches);
            this.all = all;
        }

        @Override
        public List<IBaseResource> getResources(int from, int to, ResponsePageBuilder builder) {
            List<IBaseResource> page = super.getResources(from, to, builder);
            List<Resource> matches = page.stream().map(Resource.class::cast).toList();
            List<IBaseResource> more = new ArrayList<>(page);
            for (Resource one : all.provenances(matches)) {
                Resource included = one.copy();
                ResourceMetadataKeyEnum.ENTRY_SEARCH_MODE.put(included, BundleEntrySearchModeEnum.INCLUDE);
                more.add(included);
            }
            return more;
        }
    }

    /** All that belongs to a member, what it refers to, and the Provenances of that; each once. */
    List<Resource> record(String patient, Date since) {
        Map<String, Resource> found = new LinkedHashMap<>();
        List<Resource> next = all().filter(one -> isOf(one, patient)).collect(Collectors.toList());
        next.addAll(byType.get("Patient").with(patient).toList());
        while (!next.isEmpty()) {
            List<Resource> fresh = next.stream().filter(one -> found.putIfAbsent(name(one), one) == null).toList();
            // A member's Coverage may name the subscriber, who is another member.
            next = fresh.stream().flatMap(this::named).filter(one -> !(one instanceof Patient)).collect(Collectors.toList());
        }
        provenances(List.copyOf(found.values())).forEach(one -> found.putIfAbsent(name(one), one));
        return found.values().stream().filter(one -> isLater(one, since)).toList();
    }
}
