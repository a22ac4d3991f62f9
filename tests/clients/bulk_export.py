"""Runs the exporter class of one of two clients from PyPI, for levels and types that its own command does not offer.

smart-fetch's command exports a group or the whole system, and types of its own list only. cumulus-etl's command loads Spark at its start, which an
export does not need.
"""
import argparse
import asyncio
import json
import pathlib

import cumulus_fhir_support

parser = argparse.ArgumentParser()
parser.add_argument("--client", required=True, choices=["smart-fetch", "cumulus-etl"])
parser.add_argument("--url", required=True)
parser.add_argument("--base", required=True)
parser.add_argument("--smart-client-id", required=True)
parser.add_argument("--smart-key", required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--type", required=True, nargs="+")
options = parser.parse_args()


def exporter(client):
    if options.client == "smart-fetch":
        from smart_fetch import lifecycle
        from smart_fetch.bulk_utils import BulkExporter

        metadata = lifecycle.OutputMetadata(options.out)
        return BulkExporter(client, set(options.type), options.url, options.out, metadata=metadata)
    from cumulus_etl.loaders.fhir.bulk_export import BulkExporter

    return BulkExporter(client, set(options.type), options.url, options.out)


async def main():
    client = cumulus_fhir_support.FhirClient(
        options.base,
        options.type,
        smart_client_id=options.smart_client_id,
        smart_jwks=json.loads(pathlib.Path(options.smart_key).read_text()),
    )
    async with client:
        await exporter(client).export()


asyncio.run(main())
