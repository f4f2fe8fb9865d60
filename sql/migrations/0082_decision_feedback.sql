-- Whether a decision was right, as its tenant says, and the entry of a list that followed from it.
alter table decisions add column if not exists feedback text;          -- honest, fraud; null: none
alter table decisions add column if not exists feedback_entry_id text collate "C";
