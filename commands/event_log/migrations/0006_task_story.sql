-- One task's whole story in one query: what was decided, and what the task wrote meanwhile.

CREATE VIEW owl_log.task_story AS
SELECT
    (fact ->> 'task_id')::uuid AS task_id,
    recorded_at,
    'events' AS log,
    position,
    tag,
    actor,
    correlation_id,
    causation_id,
    fact
FROM owl_log.story
WHERE fact ->> 'task_id' IS NOT NULL
UNION ALL
SELECT
    originator_id,
    recorded_at,
    'telemetry',
    notification_id,
    topic,
    actor,
    correlation_id,
    causation_id,
    owl_log.readable(state)
FROM owl_log.telemetry
WHERE topic = 'telemetry.task_output_received/1';

COMMENT ON VIEW owl_log.task_story IS
    'SELECT recorded_at, tag, actor, fact FROM owl_log.task_story WHERE task_id = $1'
    ' ORDER BY recorded_at, log, position. Order within a log is by position and exact; between'
    ' the logs it is by the time of recording, and output may come in after its task has ended.'
    ' It reads the whole business log: a tool for auditors, not for requests.';
