-- Results belong to whom their batch belongs to. They were put into the default resource, whoever the batch was of: its users
-- could not fetch them by the API, and those of the default resource could.
UPDATE file SET resource = batch.resource FROM batch
WHERE batch.resource != 'default' AND batch.output_file_id = file.id;

UPDATE file SET resource = batch.resource FROM batch
WHERE batch.resource != 'default' AND batch.error_file_id = file.id;
