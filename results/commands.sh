# Every run of the tables of MovieLens-100k and Amazon Beauty, each on one thread.
export OMP_NUM_THREADS=1

srbench run --model bert4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model bert4rec --dataset ml-100k --seed 0 --set data.length=50 --set train.epochs=500 --set train.patience=30
srbench run --model fmlprec --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=10
srbench run --model glintru --dataset amazon-beauty --seed 0 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model glintru --dataset amazon-beauty --seed 0 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep' --set model.width=64
srbench run --model glintru --dataset ml-100k --seed 0 --set data.length=50
srbench run --model glintru-official --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=10
srbench run --model gru4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model gru4rec --dataset ml-100k --seed 1 --set data.length=50
srbench run --model hstu --dataset ml-100k --seed 0 --set data.length=50
srbench run --model itemknn --dataset amazon-beauty --seed 0 --set data.time_ties=row --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model itemknn --dataset amazon-beauty --seed 0 --set data.time_ties=shuffle:1 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model itemknn --dataset ml-100k --seed 0 --set data.length=50
srbench run --model lightsans --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=10
srbench run --model lightsans-official --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=4
srbench run --model linrec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model linrec-official --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=10
srbench run --model lrurec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model mamba4rec --dataset amazon-beauty --seed 0 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model mamba4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model markov --dataset amazon-beauty --seed 0 --set data.time_ties=row --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model markov --dataset amazon-beauty --seed 0 --set data.time_ties=shuffle:1 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model markov --dataset ml-100k --seed 0 --set data.length=50
srbench run --model mingru4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model pop --dataset amazon-beauty --seed 0 --set data.time_ties=row --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model pop --dataset amazon-beauty --seed 0 --set data.time_ties=shuffle:1 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model pop --dataset ml-100k --seed 0 --set data.length=50
srbench run --model recblr --dataset ml-100k --seed 0 --set data.length=50
srbench run --model recblr-official --dataset ml-100k --seed 0 --set data.length=50
srbench run --model sasrec --dataset amazon-beauty --seed 0 --set data.length=50 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model sasrec --dataset amazon-beauty --seed 0 --set data.length=50 --set train.batch_tokens=1600 --set 'evaluate.select_by=ndcg@10|full|seen:keep'
srbench run --model sasrec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model sigma --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=10
srbench run --model sligru4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model smlp4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model smlp4rec-official --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=4
srbench run --model tim4rec --dataset ml-100k --seed 0 --set data.length=50
srbench run --model tim4rec-official --dataset ml-100k --seed 0 --set data.length=50 --set train.prefixes_per_user=4
