export type JournalEvent = 'started' | 'done' | 'failed' | 'undo_started' | 'undone' | 'undo_failed';
