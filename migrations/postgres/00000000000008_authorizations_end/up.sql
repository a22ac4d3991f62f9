-- An authorization that was approved keeps its end here, so that it is over without another import. Of those stored before,
-- nobody knows which of their times this is: they stay releasable until they are imported again. Their source counts as unknown, so
-- that the same bytes are judged anew.
UPDATE resource SET pa_changed_ms = NULL WHERE pa_state = 1 AND pa_changed_ms IS NOT NULL;
UPDATE resource SET source_sha256 = ''::bytea WHERE pa_state <> 0 AND source_sha256 <> ''::bytea;
