select coalesce(max(sequence), 0) from outcomes
