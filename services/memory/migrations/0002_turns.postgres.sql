CREATE INDEX messages_turn ON messages (turn_id)
