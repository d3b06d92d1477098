-- A row for each breaker and commit, in place of one for each state change; what waits is kept. Late events moved
-- nothing, and say only that their breaker is to be judged.
UPDATE outbox SET steps = json_build_array(json_build_array(
    0, instance_id, before_state, before_natural, state, natural_state, since))::text
WHERE instance_id <> 0 AND NOT late;
