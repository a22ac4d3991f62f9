-- An authorization that was approved keeps its end here, so that it is over without another import. Of those stored before,
-- nobody knows which of their times this is; they stay releasable until they are imported again.
UPDATE resource SET pa_changed_ms = NULL WHERE pa_state = 1;
