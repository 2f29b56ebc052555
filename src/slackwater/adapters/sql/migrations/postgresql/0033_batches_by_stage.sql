-- Where statistics know of no batch that runs, because none did when they were made, this index was believed to find those that run as
-- well as the one that has them in the order in which they are asked for; and with ten thousand that run, each of them was looked at for
-- each claim. What is asked for by a stage has an index of that stage.
-- disturbs: nothing that can be measured; a batch that goes on to another stage has one entry less to make
DROP INDEX batch_by_stage;
