-- The key that an event's templates are rotated with, by its id; null: templates are as the engine made them. Set when the
-- event is made: with another key nobody could compare its templates any more. The keys themselves are in no table.

ALTER TABLE event ADD COLUMN template_key text CHECK (template_key ~ '^[0-9a-f]{8}$');
